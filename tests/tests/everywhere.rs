//! The same server, unchanged, on the operating system and in the simulator.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aio::{ConnId, Listen, Proactor, System};
use serve::{Ctx, Served, serve};
use sim::{Act, Choice, EngineKind, Faults, Net, PeerId, Side, SimOs};

#[path = "../../aio/examples/echo/serve.rs"]
mod serve;

const PEERS: u64 = 10;
const BYTES: usize = 20_000;

#[test]
fn on_the_operating_system() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut stop, stopped) = UnixStream::pair().unwrap();
    let client = std::thread::spawn(move || {
        for _ in 0..PEERS {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let writer = std::thread::spawn(move || {
                writer.write_all(&[7; BYTES]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut echo = Vec::new();
            stream.read_to_end(&mut echo).unwrap();
            assert_eq!(echo, [7; BYTES]);
            writer.join().unwrap();
        }
        stop.write_all(&[0]).unwrap();
    });
    let mut aio: Proactor<Ctx> = Proactor::new().unwrap();
    let (listener, stopped) = (aio.adopt(listener).unwrap(), aio.adopt(stopped).unwrap());
    let served = serve(&mut aio, listener, Some(stopped), None).unwrap();
    client.join().unwrap();
    assert_eq!((served.connections, served.bytes), (PEERS, PEERS * BYTES as u64));
    assert_eq!(aio.stats().leases, 0);
}

/// A program that starts itself: it makes its listener, and tells its address.
fn start<S: System>(aio: &mut Proactor<Ctx, S>) -> (ConnId, SocketAddr) {
    let listener = aio.listen(&Listen::on(SocketAddr::from(([127, 0, 0, 1], 0))).nodelay(true)).unwrap();
    let address = aio.local_addr(listener).unwrap().as_internet().unwrap();
    (listener, address)
}

#[test]
fn a_program_starts_unchanged_on_both() {
    let mut aio: Proactor<Ctx> = Proactor::new().unwrap();
    let (listener, address) = start(&mut aio);
    let (mut stop, stopped) = UnixStream::pair().unwrap();
    let stopped = aio.adopt(stopped).unwrap();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        drop(stream);
        stop.write_all(&[0]).unwrap();
        echo
    });
    let real = serve(&mut aio, listener, Some(stopped), None).unwrap();
    assert_eq!(&client.join().unwrap(), b"hello");

    for &engine in EngineKind::ALL {
        let net = Net::calm();
        let mut aio: Proactor<Ctx, SimOs> =
            Proactor::<()>::builder().build_on(SimOs::new(net.clone(), engine)).unwrap();
        let (listener, address) = start(&mut aio);
        let peer = net.connect_to(address).unwrap();
        assert_eq!(net.peer_write(peer, b"hello"), 5);
        let (stop, stopped) = net.pair().unwrap();
        let stopped = aio.adopt(stopped).unwrap();
        net.plan(Duration::from_millis(500), Act::Close { peer });
        net.plan(Duration::from_secs(1), Act::Write { peer: stop, bytes_max: 1 });
        let simulated = serve(&mut aio, listener, Some(stopped), Some(Duration::from_secs(9))).unwrap();
        assert_eq!((simulated.connections, simulated.bytes), (real.connections, real.bytes));
        assert!(net.connect_to(address).is_err(), "nobody listens any more");
        assert_eq!(net.violations(), []);
    }
}

/// The server in a simulated world, with peers that write, read what comes back, and end, all by a plan.
fn simulate(net: &Net, engine: EngineKind) -> (Served, Vec<PeerId>) {
    let listener = net.listen(64).unwrap();
    let ms = Duration::from_millis;
    let peers: Vec<PeerId> = (0..PEERS).map(|_| net.connect(listener.id()).unwrap()).collect();
    for (nth, &peer) in (1..).zip(&peers) {
        for round in 0..20 {
            net.plan(ms(nth + 50 * round), Act::Write { peer, bytes_max: BYTES / 20 });
            net.plan(
                ms(nth + 50 * round + 25),
                Act::Read { peer, bytes_max: BYTES, expects: Some(Side::Client) },
            );
        }
        net.plan(ms(1_100), Act::ShutdownWrite { peer });
        net.plan(ms(1_200), Act::Read { peer, bytes_max: BYTES, expects: Some(Side::Client) });
    }
    let (stop, stopped) = net.pair().unwrap();
    // Again and again, for a server that a fault keeps from hearing it the first time.
    for round in 0..10 {
        net.plan(ms(5_000 + 1_000 * round), Act::Write { peer: stop, bytes_max: 1 });
    }
    let builder = Proactor::<()>::builder().pool(3, 512);
    let mut aio: Proactor<Ctx, SimOs> = builder.build_on(SimOs::new(net.clone(), engine)).unwrap();
    let (listener, stopped) = (aio.adopt(listener).unwrap(), aio.adopt(stopped).unwrap());
    let served = serve(&mut aio, listener, Some(stopped), Some(Duration::from_secs(30))).unwrap();
    assert_eq!((aio.stats().connections, aio.stats().credits, aio.stats().leases), (0, 0, 0));
    aio.check().unwrap();
    assert_eq!(net.violations(), []);
    drop(aio);
    assert_eq!(net.descriptors(), 0);
    (served, peers)
}

#[test]
fn in_the_simulator() {
    for &engine in EngineKind::ALL {
        let net = Net::calm();
        let (served, peers) = simulate(&net, engine);
        assert_eq!((served.connections, served.bytes), (PEERS, PEERS * BYTES as u64), "{engine:?}");
        for peer in peers {
            let state = net.peer_state(peer);
            assert_eq!((state.sent, state.received, state.ended), (BYTES as u64, BYTES as u64, true));
        }
    }
}

#[test]
fn in_the_simulator_with_everything_going_wrong() {
    for seed in 0..300 {
        let mut choice = Choice::seeded(seed);
        let mut faults = Faults::swarm(&mut choice);
        // The server has no answer to a socket that can not be registered at its start, nor is it owed one.
        faults.adopt_refused = sim::Odds::NEVER;
        // Nor to a system that refuses it to accept.
        faults.accept_refused = sim::Odds::NEVER;
        let net = Net::new(choice, faults);
        let engine = EngineKind::ALL[usize::try_from(seed).unwrap() % EngineKind::ALL.len()];
        let (served, peers) = simulate(&net, engine);
        // Whatever was lost with a connection, what arrived is what was sent: the reads of the plan checked
        // that.
        let received: u64 = peers.iter().map(|peer| net.peer_state(*peer).received).sum();
        assert!(received <= PEERS * BYTES as u64 && served.connections <= PEERS, "seed {seed}");
    }
}

#[test]
fn the_simulator_gives_the_same_run_for_the_same_seed() {
    let fingerprint = |seed| {
        let mut choice = Choice::seeded(seed);
        let faults = Faults::swarm(&mut choice);
        let faults = Faults { adopt_refused: sim::Odds::NEVER, accept_refused: sim::Odds::NEVER, ..faults };
        let net = Net::new(choice, faults);
        simulate(&net, EngineKind::Epoll);
        net.fingerprint()
    };
    assert_eq!(fingerprint(5), fingerprint(5));
    assert_ne!(fingerprint(5), fingerprint(6));
}
