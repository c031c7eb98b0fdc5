//! `modstrap-qemu disk`: one disk image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use modstrap_qemu::disk::Size;
use modstrap_qemu::{FileSystem, Recipe, Table};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The file system
    #[arg(long, value_name = "KIND")]
    fs: FileSystem,
    /// The directory to copy [default: the root tree of the tests]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The file system's size, with K, M or G [default: what the content needs]
    #[arg(long)]
    size: Option<Size>,
    /// The file system's label
    #[arg(long)]
    label: Option<String>,
    /// The file system's UUID, in the form that blkid prints
    #[arg(long)]
    uuid: Option<String>,
    /// The partition table around it
    #[arg(long, value_name = "KIND", default_value = "none")]
    table: Table,
    /// The number of the partition that holds the file system; those before it are empty
    #[arg(long, value_name = "N", default_value_t = 1)]
    partition: u32,
    /// The partition's label (GPT)
    #[arg(long, value_name = "LABEL")]
    partlabel: Option<String>,
    /// The partition's UUID; in an MBR SSSSSSSS-PP
    #[arg(long, value_name = "UUID")]
    partuuid: Option<String>,
    /// The image to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut recipe = Recipe::new(arguments.fs).table(arguments.table).partition(arguments.partition);
    if let Some(directory) = arguments.from {
        recipe = recipe.from(directory);
    }
    if let Some(Size(bytes)) = arguments.size {
        recipe = recipe.size(bytes);
    }
    if let Some(label) = arguments.label {
        recipe = recipe.label(label);
    }
    if let Some(uuid) = arguments.uuid {
        recipe = recipe.uuid(uuid);
    }
    if let Some(label) = arguments.partlabel {
        recipe = recipe.partition_label(label);
    }
    if let Some(uuid) = arguments.partuuid {
        recipe = recipe.partition_uuid(uuid);
    }
    recipe.write(&arguments.output)?;
    Ok(ExitCode::SUCCESS)
}
