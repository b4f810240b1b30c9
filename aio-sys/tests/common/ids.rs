//! Connection ids, from where they come from: a model.

use std::sync::Arc;

use aio_model::{Config, ConnId, Home, Kind, Limits, Model, Rearm, Returned};

/// Gives ids out.
pub(crate) struct Ids(pub(crate) Model<()>);

struct Homeless;

impl Home for Homeless {
    fn return_buffer(&self, _: Returned) {}
}

impl Ids {
    pub(crate) fn new() -> Ids {
        let home: Arc<dyn Home> = Arc::new(Homeless);
        let config = Config { limits: Limits::DEFAULT, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival };
        Ids(Model::new(config, &home))
    }

    pub(crate) fn open(&mut self) -> ConnId {
        self.0.open(Kind::Stream).unwrap()
    }
}
