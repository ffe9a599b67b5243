# The desktop image from a cloud image of Debian or Ubuntu, under QEMU. See docs/howto/images.md.
packer {
  required_plugins {
    qemu = {
      version = "~> 1.1"
      source  = "github.com/hashicorp/qemu"
    }
  }
}

variable "base" {
  description = "Path or address of a cloud image in qcow2: debian-12-genericcloud-amd64 or noble-server-cloudimg-amd64."
  type        = string
}

variable "base_checksum" {
  description = "sha512:… or sha256:…, as its distribution publishes it. The image is what this says, or none is made."
  type        = string
}

variable "snapshot" {
  description = "Debian only: a moment of snapshot.debian.org, 20261101T000000Z, to get the same packages again."
  type        = string
  default     = ""
}

variable "extra" {
  description = "Further packages of the distribution: programs of the field, the client of the facility's storage."
  type        = string
  default     = "pymca"
}

variable "accelerator" {
  type    = string
  default = "kvm"
}

locals {
  key = pathexpand("~/.ssh/id_ed25519")
}

source "qemu" "desktop" {
  iso_url          = var.base
  iso_checksum     = var.base_checksum
  disk_image       = true
  disk_size        = "12G"
  format           = "qcow2"
  disk_compression = true
  accelerator      = var.accelerator
  cpus             = 2
  memory           = 4096
  headless         = true
  output_directory = "images/made"
  vm_name          = "visa-desktop.qcow2"
  ssh_username     = "root"
  ssh_private_key_file = local.key
  ssh_timeout      = "10m"
  shutdown_command = "poweroff"
  cd_label         = "cidata"
  cd_content = {
    "meta-data" = "instance-id: build\n"
    "user-data" = "#cloud-config\n${yamlencode({
      disable_root = false
      users        = [{ name = "root", ssh_authorized_keys = [trimspace(file("${local.key}.pub"))] }]
    })}"
  }
}

build {
  sources = ["source.qemu.desktop"]

  provisioner "shell-local" {
    inline = ["images/bundle > images/made.tar"]
  }
  provisioner "file" {
    source      = "images/made.tar"
    destination = "/root/bundle.tar"
  }
  provisioner "shell" {
    environment_vars = ["SNAPSHOT=${var.snapshot}", "EXTRA=${var.extra}"]
    inline = [
      "cloud-init status --wait",
      "mkdir /root/bundle && tar -x -C /root/bundle -f /root/bundle.tar",
      "/root/bundle/images/provision /root/bundle",
      # what belonged to this build alone
      "rm -rf /root/bundle /root/bundle.tar /root/.ssh /etc/ssh/ssh_host_*",
      "cloud-init clean --logs --machine-id --seed",
    ]
  }
}
