//! A Unix listener and its file. A file that no server listens on is replaced, one that is in use is not, and
//! in the end no file but our own is removed.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

/// The file of a listener. Dropping it removes the file, unless another one is in its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Tells a file from its successors. The number of an inode is used again, perhaps at once; the time at which
/// the file was made is not.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Identity {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Identity { device: metadata.dev(), inode: metadata.ino(), modified }
    }
}

/// Listens at a path. A file that a server left behind when it was killed is replaced.
///
/// # Errors
///
/// When a server listens there, when there is something other than a socket, or when the system refuses.
pub(crate) fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    // Between `bind` and `listen` a socket looks as if it had been left behind, and between finding such a
    // file and removing it another server may have replaced it: so one at a time.
    let _locked = lock(path, FlockOperation::LockExclusive);
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path)? => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let identity = Identity::from(&fs::symlink_metadata(path)?);
    Ok((listener, SocketFile { path: path.to_owned(), identity }))
}

/// Whether there is a socket that nobody listens on.
fn is_stale(path: &Path) -> io::Result<bool> {
    // Not through a link: what it leads to was not made by a server that listened at this path.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // A server whose queue is full is there all the same: it says "would block", instead of making us wait.
    socket.set_nonblocking(true)?;
    let connected = socket.connect(&socket2::SockAddr::unix(path)?);
    Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

/// Locks the directory of a path against other servers that start or stop there, until the file is dropped.
/// It is there for those who may read the directory; the others go without.
fn lock(path: &Path, operation: FlockOperation) -> io::Result<File> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(directory.unwrap_or(Path::new(".")))?;
    retry_on_intr(|| flock(&directory, operation))?;
    Ok(directory)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A process that holds the lock for long does not keep this server from ending; its file is found to
        // be stale.
        let locked = lock(&self.path, FlockOperation::NonBlockingLockExclusive);
        if matches!(&locked, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|found| Identity::from(&found) == self.identity);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
