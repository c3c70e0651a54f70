//! Where nodes stand in their ranges. Validation makes sure of the room, the plan gives the addresses; each role has room
//! to grow without moving another.

/// The gateway's place in the nodes' network: the lab's side of the bridge.
pub const GATEWAY_HOST: u32 = 1;

/// The place that is kept for a virtual IP.
pub const VIRTUAL_IP_HOST: u32 = 10;

/// The first load balancer's place in the nodes' network.
pub const FIRST_LOAD_BALANCER_HOST: u32 = 11;

/// The first control-plane node's place in the nodes' network.
pub const FIRST_CONTROL_PLANE_HOST: u32 = 21;

/// The first worker's place in the nodes' network.
pub const FIRST_WORKER_HOST: u32 = 31;

/// The first control-plane node's /24 in the pod range, counted from 0.
pub const FIRST_CONTROL_PLANE_SUBNET: u32 = 0;

/// The first worker's /24 in the pod range, counted from 0.
pub const FIRST_WORKER_SUBNET: u32 = 16;
