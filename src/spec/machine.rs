//! What a wish must fit into. Validation gets it as an argument, so that it stays pure.

/// What is known of the machine that will run the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machine {
    /// Memory in bytes that new processes can have without swapping. If none, memory is not checked: on another
    /// machine, or when the cluster runs already and uses its share.
    pub available_memory: Option<u64>,
}

impl Machine {
    /// Looks at this machine (`/proc/meminfo`). What cannot be read is not known.
    pub fn observe() -> Self {
        std::fs::read_to_string("/proc/meminfo")
            .map_or_else(|_| Self::default(), |text| Self::from_meminfo(&text))
    }

    /// Reads the text of `/proc/meminfo`.
    pub fn from_meminfo(text: &str) -> Self {
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Self {
            available_memory: kib.map(|kib| kib << 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       24683520 kB\nMemFree:        14948352 kB\nMemAvailable:   24107008 kB\n";
        assert_eq!(
            Machine::from_meminfo(text).available_memory,
            Some(24_107_008 << 10)
        );
        assert_eq!(Machine::from_meminfo("").available_memory, None);
    }
}
