//! Every peer does what its row says, with every byte in its place.

use std::path::Path;
use std::time::Duration;

use aio_bench::load::{Load, Shape, Until};
use aio_bench::peers::child::ServerChild;
use aio_bench::peers::{BASELINE, ComparedServer, PEERS, ServeOptions, Service, find};

fn start(peer: &ComparedServer, service: Service, upstream: Option<&ServerChild>) -> ServerChild {
    let program = Path::new(env!("CARGO_BIN_EXE_aio-bench"));
    let upstream = upstream.map(ServerChild::address);
    // Less than a message of this test: it comes in several pieces.
    let options = ServeOptions { service, buffer: 4096, upstream };
    ServerChild::spawn(program, peer, &options, 0).unwrap()
}

#[test]
fn every_peer_does_what_its_row_says() {
    let upstream = start(find(BASELINE).unwrap(), Service::Echo, None);
    for peer in PEERS {
        for &service in peer.services {
            let server = start(peer, service, Some(&upstream));
            let mut load = Load::new().unwrap();
            load.connect(server.address(), 8).unwrap();
            server.cpu_settled().unwrap();
            for (message, depth) in [(100, 1), (1000, 5), (200_000, 2)] {
                let shape = Shape { message, depth, active: 8 };
                let tally = match service {
                    Service::Echo | Service::Proxy => load.echo(shape, Until::Messages(7)),
                    Service::Broadcast => load.broadcast(shape, Until::Messages(7)),
                };
                let tally =
                    tally.unwrap_or_else(|error| panic!("{} {service:?} {shape:?}: {error}", peer.name));
                let receivers = if service == Service::Broadcast { 7 } else { 8 };
                assert_eq!(tally.requests, 7 * receivers, "{} {service:?}", peer.name);
            }
        }
    }
}

#[test]
fn a_proxy_without_an_upstream_does_not_listen() {
    let program = Path::new(env!("CARGO_BIN_EXE_aio-bench"));
    let options = ServeOptions { service: Service::Proxy, buffer: 4096, upstream: None };
    assert!(ServerChild::spawn(program, find(BASELINE).unwrap(), &options, 0).is_err());
}

#[test]
fn the_work_of_a_server_is_seen() {
    let server = start(find(BASELINE).unwrap(), Service::Echo, None);
    let mut load = Load::new().unwrap();
    load.connect(server.address(), 1).unwrap();
    let before = server.cpu_settled().unwrap();
    let idle = server.cpu_settled().unwrap();
    let shape = Shape { message: 100, depth: 1, active: 1 };
    let tally = load.echo(shape, Until::Span(Duration::from_millis(50))).unwrap();
    let worked = server.cpu_settled().unwrap() - idle;
    // An echo takes at least a microsecond, and less than the time that passed.
    let most = u64::try_from(tally.span.as_nanos()).unwrap();
    assert!((tally.requests * 1000..most).contains(&worked), "{worked} ns for {} echoes", tally.requests);
    assert_eq!(before, idle, "it used time while it slept");
}
