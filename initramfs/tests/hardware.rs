//! Capturing records from hand-made copies of /sys.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use modstrap_initramfs::hardware::capture;
use tempfile::TempDir;

/// A copy of a /sys.
struct Sysfs(TempDir);

impl Sysfs {
    fn new() -> Sysfs {
        let sysfs = Sysfs(tempfile::tempdir().unwrap());
        fs::create_dir_all(sysfs.path("bus")).unwrap();
        fs::create_dir_all(sysfs.path("class/block")).unwrap();
        sysfs
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a link that leads up to the top and down again, as the kernel's do.
    fn link(&self, path: &str, target: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::create_dir_all(self.path(target)).unwrap();
        let up = "../".repeat(Path::new(path).components().count() - 1);
        symlink(format!("{up}{target}"), self.path(path)).unwrap();
    }

    /// Adds a device to a bus; the driver's module is live, built in (`=`) or not told.
    fn device(&self, bus: &str, path: &str, modalias: &str, driver: &str, module: &str) {
        let name = path.rsplit('/').next().unwrap();
        self.link(&format!("bus/{bus}/devices/{name}"), &format!("devices/{path}"));
        let modalias = if modalias.is_empty() { String::new() } else { format!("MODALIAS={modalias}\n") };
        let variable = if driver.is_empty() { String::new() } else { format!("DRIVER={driver}\n") };
        self.write(&format!("devices/{path}/uevent"), &format!("{variable}OF_NAME=x\n{modalias}"));
        if !driver.is_empty() {
            let directory = format!("bus/{bus}/drivers/{driver}");
            self.link(&format!("devices/{path}/driver"), &directory);
            let name = module.trim_start_matches('=');
            if !name.is_empty() && !self.path(&directory).join("module").exists() {
                self.link(&format!("{directory}/module"), &format!("module/{name}"));
            }
            if !module.is_empty() && !module.starts_with('=') {
                self.write(&format!("module/{name}/initstate"), "live\n");
            }
        }
    }

    fn disk(&self, path: &str, number: Option<&str>, sectors: u64) {
        let name = path.rsplit('/').next().unwrap();
        self.link(&format!("class/block/{name}"), &format!("devices/{path}"));
        self.write(&format!("devices/{path}/size"), &format!("{sectors}\n"));
        if let Some(number) = number {
            self.write(&format!("devices/{path}/dev"), &format!("{number}\n"));
        }
    }

    fn capture(&self) -> String {
        capture::copied(self.0.path()).unwrap().to_string()
    }
}

#[test]
fn a_record_holds_what_leads_to_disks_and_nothing_else() {
    let sysfs = Sysfs::new();
    sysfs.write("devices/system/cpu/modalias", "cpu:type:x86,ven0000:feature:,0001\n");
    sysfs.device("pci", "pci0/1", "pci:v1d1", "virtio-pci", "=virtio_pci");
    sysfs.device("virtio", "pci0/1/virtio0", "virtio:d2v1", "virtio_blk", "virtio_blk");
    sysfs.device("scsi", "pci0/2/host0", "", "", "");
    sysfs.device("platform", "platform/Fixed MDIO bus.0", "platform:Fixed MDIO bus", "", "");
    // A driver that others hang on, and one that nothing hangs on.
    sysfs.device("pci_express", "pci0/1:pcie1", "", "aer", "");
    sysfs.device("usb", "pci0/3/usb1", "", "usb", "=usbcore");
    sysfs.device("usb", "pci0/3/usb1/1-0:1.0", "usb:v1p1", "hub", "=usbcore");
    // Passed over: processors and the like, and what no record can hold.
    sysfs.device("cpu", "system/cpu/cpu0", "cpu:x", "", "");
    sysfs.device("platform", "platform/odd\"name", "platform:odd", "", "");
    sysfs.disk("pci0/1/virtio0/block/vda", Some("254:0"), 1000);
    sysfs.disk("pci0/1/virtio0/block/vda/vda1", Some("254:1"), 900);
    sysfs.disk("pci0/4/block/sr0", Some("11:0"), 0);
    sysfs.disk("virtual/block/loop0", Some("7:0"), 8);
    assert_eq!(
        sysfs.capture(),
        "modstrap-hardware 1\n\
         processor modalias=cpu:type:x86,ven0000:feature:,0001\n\
         device path=pci0/1 modalias=pci:v1d1 driver=virtio-pci builtin=virtio_pci\n\
         device path=pci0/1/virtio0 modalias=virtio:d2v1 driver=virtio_blk module=virtio_blk\n\
         device path=pci0/3/usb1 driver=usb builtin=usbcore\n\
         device path=pci0/3/usb1/1-0:1.0 modalias=usb:v1p1 driver=hub builtin=usbcore\n\
         device path=\"platform/Fixed MDIO bus.0\" modalias=\"platform:Fixed MDIO bus\"\n\
         disk name=vda path=pci0/1/virtio0/block/vda number=254:0\n\
         disk name=vda1 path=pci0/1/virtio0/block/vda/vda1 number=254:1\n"
    );
}

#[test]
fn an_nvme_disk_with_several_paths_is_at_its_first_controller() {
    let sysfs = Sysfs::new();
    sysfs.device("pci", "pci0/1", "pci:v1d1", "nvme", "nvme");
    sysfs.link("devices/virtual/nvme-subsystem/nvme-subsys0/nvme1", "devices/pci0/2/nvme/nvme1");
    sysfs.link("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0", "devices/pci0/1/nvme/nvme0");
    sysfs.disk("virtual/nvme-subsystem/nvme-subsys0/nvme0n1", Some("259:0"), 8);
    sysfs.disk("virtual/nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p1", Some("259:1"), 8);
    // The kernel hides the paths themselves.
    sysfs.disk("pci0/1/nvme/nvme0/nvme0c0n1", None, 8);
    assert_eq!(
        sysfs.capture(),
        "modstrap-hardware 1\n\
         device path=pci0/1 modalias=pci:v1d1 driver=nvme module=nvme\n\
         disk name=nvme0n1 path=pci0/1/nvme/nvme0/nvme0n1 number=259:0\n\
         disk name=nvme0n1p1 path=pci0/1/nvme/nvme0/nvme0n1/nvme0n1p1 number=259:1\n"
    );
}

#[test]
fn a_device_tree_is_noted() {
    let sysfs = Sysfs::new();
    sysfs.write("firmware/devicetree/base/compatible", "board");
    assert_eq!(sysfs.capture(), "modstrap-hardware 1\ndevice-tree\n");
}

#[test]
fn a_directory_that_is_no_sysfs_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let error = format!("{:#}", capture::copied(directory.path()).unwrap_err());
    assert!(error.ends_with(": no sysfs: it has no directory bus"), "{error}");
}
