//! No heap allocation for a request, once a server is warm.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use aio::{Accept, Completion, Done, Proactor, Recv, Send};

#[derive(Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
}

/// Serves until a send is done.
fn serve_one(aio: &mut Proactor<Ctx>, batch: &mut Vec<Completion<Ctx>>) {
    loop {
        assert!(aio.turn(batch, None).unwrap());
        for done in batch.drain(..) {
            match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => drop(aio.submit(conn, Recv::pooled(), Ctx::Read)),
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    drop(aio.submit(done.conn, Send::new(done.buffer), Ctx::Write));
                }
                (Ctx::Write, Ok(Done::Sent)) => {
                    let recv = Recv::pooled().within(std::time::Duration::from_secs(30));
                    drop(aio.submit(done.conn, recv, Ctx::Read));
                    return;
                }
                (_, result) => panic!("{result:?}"),
            }
        }
    }
}

#[test]
fn a_request_in_steady_state_allocates_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut aio: Proactor<Ctx> = Proactor::new().unwrap();
    let listener = aio.adopt(listener).unwrap();
    drop(aio.submit(listener, Accept::many(), Ctx::Accept));
    let mut clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut batch = Vec::with_capacity(64);
    let mut round_trips = |count: usize| {
        let mut echo = [0; 4096];
        for turn in 0..count {
            let client = &mut clients[turn % 8];
            client.write_all(&[7; 4096]).unwrap();
            serve_one(&mut aio, &mut batch);
            client.read_exact(&mut echo).unwrap();
        }
    };
    round_trips(64);
    let counted = allocation_counter::measure(|| round_trips(10_000));
    assert_eq!(
        (counted.count_total, counted.bytes_total),
        (0, 0),
        "10,000 receives and sends with deadlines"
    );

    // The check can fail: it sees an allocation of a single byte.
    let canary = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1_u8))));
    assert_eq!((canary.count_total, canary.bytes_total), (1, 1));
}
