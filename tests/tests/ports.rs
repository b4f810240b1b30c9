//! Local ports that the system chooses: as many connections to each target as there are ports, not as many in
//! all. In a network namespace of its own, as there are many ports elsewhere. Skipped, and says so, where
//! none can be made.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;

use aio::{Accept, Connect, Done, Proactor, SystemErrorKind};
use tests::turns::complete;

const NAME: &str = "k7_as_many_connections_to_each_target_as_there_are_ports";

/// Tells this program that it is in the namespace.
const INSIDE: &str = "AIO_TEST_NAMESPACE";

const PORTS: u16 = 10;
const PORT_MIN: u16 = 50_000;
const TARGETS: [u16; 3] = [6_001, 6_002, 6_003];

#[test]
fn k7_as_many_connections_to_each_target_as_there_are_ports() {
    if std::env::var_os(INSIDE).is_some() {
        return [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .into_iter()
            .for_each(all_ports);
    }
    let range = format!("echo {PORT_MIN} {} > /proc/sys/net/ipv4/ip_local_port_range", PORT_MIN + PORTS - 1);
    let inside = format!("ip link set lo up && {range} || exit 77; exec \"$0\" --exact {NAME} --nocapture");
    let program = std::env::current_exe().unwrap();
    let ran =
        Command::new("unshare").args(["-rn", "sh", "-c", &inside]).arg(program).env(INSIDE, "1").output();
    match ran {
        Err(error) => eprintln!("SKIPPED: unshare: {error}"),
        Ok(output) => {
            let says = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            match output.status.code() {
                Some(0) => assert!(says.contains("1 passed"), "{says}"),
                Some(1 | 77) if !says.contains("panicked") => eprintln!("SKIPPED: no namespace: {says}"),
                _ => panic!("{says}"),
            }
        }
    }
}

/// Connects to each target from each port, and then once more.
fn all_ports(host: IpAddr) {
    let Ok(listeners) =
        TARGETS.map(|port| TcpListener::bind((host, port))).into_iter().collect::<Result<Vec<_>, _>>()
    else {
        return eprintln!("SKIPPED: no {host}");
    };
    let mut aio: Proactor<u16> = Proactor::new().unwrap();
    let own = aio.own();
    for listener in listeners {
        let listener = aio.adopt(listener).unwrap();
        aio.submit(listener, Accept::many(), 0).unwrap();
    }
    let mut ports = HashSet::new();
    for port in TARGETS {
        let mut connect = |_| {
            let connect = Connect::to(SocketAddr::new(host, port)).from(SocketAddr::new(host, 0));
            aio.submit(own, connect, port).unwrap();
            loop {
                let done = complete(&mut aio, 1).remove(0);
                if done.context == port {
                    return done;
                }
            }
        };
        for number in 0..PORTS {
            let done = connect(number);
            assert_eq!(done.result, Ok(Done::Connected), "{host}: number {number} to {port}");
        }
        match connect(PORTS).result {
            Err(aio::OpError::System(error)) => {
                assert_eq!(error.kind(), SystemErrorKind::AddressNotAvailable);
            }
            other => panic!("{other:?}: there are no more ports"),
        }
    }
    let conns: Vec<_> = aio.conns().map(|(conn, _)| conn).collect();
    for conn in conns {
        let [local, peer] = [aio.local_addr(conn), aio.peer_addr(conn)].map(|told| told.ok()?.as_internet());
        if let (Some(local), Some(peer)) = (local, peer)
            && TARGETS.contains(&peer.port())
        {
            assert!((PORT_MIN..PORT_MIN + PORTS).contains(&local.port()) && ports.insert((local, peer)));
        }
    }
    assert_eq!(ports.len(), TARGETS.len() * usize::from(PORTS), "{host}");
}
