//! Faults under load: probes, write ledger, history checker, budgets, reports.
