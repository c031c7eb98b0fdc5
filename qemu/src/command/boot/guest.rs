//! What the guest of a boot is made of, by the words of a command line.

use clap::Args;
use modstrap_qemu::{ACCELERATOR, Boot, Drive, Share};

/// What the guest is made of.
#[derive(Args, Debug)]
#[command(next_help_heading = "Guest")]
pub struct Guest {
    /// A disk: FILE[,bus=BUS][,hotplug=SECONDS][,readonly][,writable][,format=FORMAT][,PROPERTY=VALUE]...
    /// on the buses virtio-blk, virtio-scsi, nvme, ahci, ide, usb, usb-ehci, uas, sdhci, megasas, pvscsi, lsi;
    /// the image is never changed unless `writable`
    #[arg(long, value_name = "DISK")]
    disk: Vec<Drive>,
    /// A host directory to mount by 9p, or by virtiofs: TAG=DIR[,writable][,virtiofs]
    #[arg(long, value_name = "SHARE")]
    share: Vec<Share>,
    /// Words for the kernel command line, after `console=ttyS0 panic=-1`
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Start the kernel image as it is: it unpacks itself in the guest and chooses its address (KASLR), as on a machine; also
    /// for firmware that is not QEMU's own [default: what is in it is started, which is two seconds faster]
    #[arg(long)]
    as_is: bool,
    /// QEMU's machine: q35, pc, microvm, ... [default: the architecture's usual one]
    #[arg(long)]
    machine: Option<String>,
    /// QEMU's accelerator, such as kvm
    #[arg(long, default_value = ACCELERATOR)]
    accel: String,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: u32,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2)]
    smp: u32,
    /// QEMU's program [default: the architecture's]
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<String>,
    /// One more argument for QEMU
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu_arg: Vec<String>,
}

impl Guest {
    /// Gives a guest all of this.
    pub fn furnish(&self, boot: Boot) -> Boot {
        let boot = boot.memory(self.memory).processors(self.smp).accelerator(&self.accel).as_is(self.as_is);
        let boot = self.machine.iter().fold(boot, Boot::machine);
        let boot = self.qemu.iter().fold(boot, Boot::qemu);
        let boot = self.disk.iter().cloned().fold(boot, Boot::drive);
        let boot = self.share.iter().cloned().fold(boot, Boot::share);
        let boot = self.append.iter().fold(boot, Boot::append);
        self.qemu_arg.iter().fold(boot, Boot::argument)
    }
}
