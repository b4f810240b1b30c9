//! Sends that are queued go out together, over real sockets: a broadcast, and sends of all sizes.

use std::num::NonZeroU32;
use std::thread;

use aio::system::SLICES_MAX;
use aio::{Buffer, Done, Parts, Proactor, Send};
use tests::bytes::Bytes;
use tests::pair::Family;

const RECEIVERS: u64 = 100;
const MESSAGE_BYTES: usize = 64;

/// Sends so many messages to each receiver, one send for each and all at once, as a program does that was
/// written without a thought. Returns how many were sent, and how many system calls the proactor made.
fn broadcast(aio: &mut Proactor<u64>, messages: usize) -> (u64, u64) {
    let (ours, peers): (Vec<_>, Vec<_>) =
        (0..RECEIVERS).map(|nth| Family::ALL[0].pair(nth, 7).unwrap()).unzip();
    let conns: Vec<_> = ours.into_iter().map(|socket| aio.adopt(socket).unwrap()).collect();
    let reader = thread::spawn(move || {
        for mut peer in peers {
            assert_eq!(peer.hear_all(1 << 16).unwrap(), (messages * MESSAGE_BYTES) as u64);
        }
    });
    let mut bytes = Bytes::new(7);
    for _ in 0..messages {
        let message = Buffer::from(bytes.take(MESSAGE_BYTES)).into_bytes();
        for (nth, conn) in (0..).zip(&conns) {
            aio.submit(*conn, Send::new(message.clone()), nth).unwrap();
        }
    }
    let (mut batch, mut sent) = (Vec::with_capacity(256), 0);
    while sent < RECEIVERS * messages as u64 {
        aio.turn(&mut batch, None).unwrap();
        for done in batch.drain(..) {
            assert_eq!((done.result, done.bytes), (Ok(Done::Sent), MESSAGE_BYTES as u64));
            sent += 1;
        }
    }
    let calls = aio.stats().counters.attempts;
    for conn in conns {
        aio.close(conn);
    }
    aio.shut_down();
    while aio.turn(&mut batch, None).unwrap() {
        batch.clear();
    }
    reader.join().unwrap();
    (sent, calls)
}

#[test]
fn a_broadcast_of_single_sends_is_delivered_at_default_limits_in_few_calls() {
    let (sent, calls) = broadcast(&mut Proactor::new().unwrap(), 2_000);
    println!("{sent} sends in {calls} calls");
    assert_eq!(sent, 200_000);
    assert!(calls < 4_000, "{calls} calls");
}

#[test]
fn a_share_of_one_byte_sends_each_by_itself() {
    let mut aio = Proactor::<u64>::builder().lane_transfer_max(1).build().unwrap();
    let (sent, calls) = broadcast(&mut aio, 20);
    assert!(sent == 2_000 && calls >= 2_000, "{sent} sends in {calls} calls");
}

/// One byte and 100 MiB, wholes and parts mixed, more parts than a call takes, and all of it queued before
/// the first byte goes out.
#[test]
fn sends_of_all_sizes_arrive_in_order_and_complete_with_their_counts() {
    for family in Family::ALL.iter().filter(|family| family.lack().is_none()) {
        let (ours, mut peer) = family.pair(1, 2).unwrap();
        let mut aio = Proactor::<usize>::new().unwrap();
        let conn = aio.adopt(ours).unwrap();
        aio.set_lane_bytes_max(conn, NonZeroU32::new(u32::MAX)).unwrap();
        let mut bytes = Bytes::new(2);
        let mut lens = vec![];
        for round in 0..40_usize {
            lens.extend([1, 2, round * 251 + 1, 64, 100_000, 3 * SLICES_MAX]);
            if round == 20 {
                lens.push(100 << 20);
            }
        }
        for (nth, &len) in lens.iter().enumerate() {
            let piece = Buffer::from(bytes.take(len)).into_bytes();
            let buffer = if nth % 3 == 0 || len == 3 * SLICES_MAX {
                let step = (len / (2 * SLICES_MAX)).max(1);
                let parts = (0..len).step_by(step).map(|at| piece.slice(at..(at + step).min(len)));
                parts.map(Buffer::from).collect::<Parts>().into()
            } else {
                Buffer::from(piece)
            };
            aio.submit(conn, Send::new(buffer), nth).unwrap();
        }
        let all: u64 = lens.iter().map(|len| *len as u64).sum();
        assert_eq!(aio.conn_info(conn).unwrap().send.queued_bytes, all);
        let reader = thread::spawn(move || peer.hear_all(1 << 18).unwrap());
        let (mut batch, mut next) = (Vec::new(), 0);
        while next < lens.len() {
            aio.turn(&mut batch, None).unwrap();
            for done in batch.drain(..) {
                let expected = (next, Ok(Done::Sent), lens[next] as u64);
                assert_eq!((done.context, done.result, done.bytes), expected, "{family:?}");
                next += 1;
            }
        }
        assert_eq!(aio.conn_info(conn).unwrap().send.queued_bytes, 0);
        aio.close(conn);
        aio.turn(&mut batch, None).unwrap();
        drop(aio);
        assert_eq!(reader.join().unwrap(), all, "{family:?}");
    }
}
