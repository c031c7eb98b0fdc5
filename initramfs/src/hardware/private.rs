//! What is private in a device's path: parts that stand for one single machine, as identifiers of virtual devices,
//! hardware addresses and serial numbers do. Each becomes a number, the same wherever it occurs.

use std::collections::BTreeMap;

use anyhow::Result;
use regex::{Captures, Regex};

use super::Record;

/// A UUID, six or eight octets with colons or dashes between, or as many hexadecimal digits as identifiers have.
/// Addresses of memory, which devices of a platform are called by, have fewer.
const PRIVATE: &str = r"(?ix)
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
  | [0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,7}
  | [0-9a-f]{12,}";

/// Takes what is private out of a record.
pub fn remove(record: &mut Record) -> Result<()> {
    let private = Regex::new(PRIVATE)?;
    let devices = record.devices.iter_mut().map(|device| &mut device.path);
    let mut paths: Vec<&mut String> = devices.chain(record.disks.iter_mut().map(|disk| &mut disk.path)).collect();
    // Numbered in their order, so that paths keep theirs: drivers are tried in the order of paths.
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for path in &paths {
        numbers.extend(private.find_iter(path).map(|found| (found.as_str().to_string(), 0)));
    }
    numbers.values_mut().zip(1..).for_each(|(number, place)| *number = place);
    let digits = numbers.len().to_string().len();
    for path in &mut paths {
        let number = |found: &Captures| format!("~{:0digits$}", numbers.get(&found[0]).copied().unwrap_or_default());
        **path = private.replace_all(path, number).into_owned();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Device;

    #[test]
    fn what_stands_for_one_machine_becomes_a_number() {
        let paths = [
            "LNXSYSTM:00/VMBUS:00/f8615163-df3e-46c5-913f-f2d2f965ed0e",
            "LNXSYSTM:00/VMBUS:00/f8615163-df3e-46c5-913f-f2d2f965ed0e/host0/target0:0:0/0:0:0:0",
            "LNXSYSTM:00/VMBUS:00/000d3af8-d9f2-000d-3af8-d9f2000d3af8",
            "pci0000:00/0000:00:1f.6/net/enx001122AABBCC/x",
            "pci0000:00/0000:00:1f.6/mdio/00:11:22:33:44:55/phy",
            "w1_bus_master1/28-00000a1b2c3d",
            // Not private: places, addresses of memory, kinds.
            "pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0",
            "platform/soc/fe9c0000.mmc/mmc_host/mmc0/mmc0:aaaa",
            "platform/4010000000.pcie/0005:046D:B01A.0003",
        ];
        let devices = paths.map(|path| Device { path: path.into(), ..Device::default() });
        let mut record = Record { devices: devices.into(), ..Record::default() };
        remove(&mut record).unwrap();
        let paths: Vec<&str> = record.devices.iter().map(|device| device.path.as_str()).collect();
        let expected = [
            "LNXSYSTM:00/VMBUS:00/~5",
            "LNXSYSTM:00/VMBUS:00/~5/host0/target0:0:0/0:0:0:0",
            "LNXSYSTM:00/VMBUS:00/~2",
            "pci0000:00/0000:00:1f.6/net/enx~3/x",
            "pci0000:00/0000:00:1f.6/mdio/~4/phy",
            "w1_bus_master1/28-~1",
            "pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0",
            "platform/soc/fe9c0000.mmc/mmc_host/mmc0/mmc0:aaaa",
            "platform/4010000000.pcie/0005:046D:B01A.0003",
        ];
        assert_eq!(paths, expected);
    }
}
