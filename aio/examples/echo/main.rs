//! An echo server: sends back whatever it receives, to any number of connections, on one thread.
//!
//! ```text
//! cargo run --release -p aio --example echo -- --listen 127.0.0.1:8110
//! ```

mod options;
mod serve;
mod unix;

use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use aio::Proactor;
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use options::Options;
use serve::{Ctx, Served, serve};

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        // Help and version go to standard output, as they are; of a mistake, one line says it.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            eprintln!(
                "echo: {}",
                error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default()
            );
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(served) => {
            println!(
                "served {} connections, {} receives, {} bytes",
                served.connections, served.receives, served.bytes
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Served, String> {
    let listener = options.listen.bind()?;
    let local = listener.local();
    // Removed when this returns, whatever it returns.
    let _file = listener.file;
    let proactor = Proactor::<Ctx>::builder().pool(options.buffers, options.buffer).spin(options.spin);
    let mut aio: Proactor<Ctx> = proactor.build().map_err(|error| error.to_string())?;
    let listener_id = aio.adopt(listener.socket).map_err(|error| error.to_string())?;
    let stop = stop_signal().and_then(|stop| Ok(aio.adopt(stop)?)).map_err(|error| error.to_string())?;
    println!("listening on {local}");
    serve(&mut aio, listener_id, Some(stop), options.timeout()).map_err(|error| error.to_string())
}

/// A stream that becomes readable on Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    pipe::register(SIGINT, sender.try_clone()?)?;
    pipe::register(SIGTERM, sender)?;
    Ok(receiver)
}
