//! The HA recipe: from running nodes to a cluster, by looking, deciding and acting, one step at a time.
