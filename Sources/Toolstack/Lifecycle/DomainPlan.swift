// SPDX-License-Identifier: Apache-2.0

import Devices
import Glibc
import Interfaces

/// A domain that has passed all checks that can be made before it exists: its files are read, its memory is laid
/// out, its disks are open and locked, its networks have their ports.
struct DomainPlan {
  let configuration: GuestConfiguration
  let builder: any GuestBuilder
  let disks: [(queue: any BlockQueue, device: VirtualDevice)]
  let interfaces: [(network: any GuestNetwork, address: EthernetAddress)]

  init(_ configuration: GuestConfiguration) throws(ToolstackError) {
    self.configuration = configuration
    // Memory is taken from the system only as it is touched: the system's limits would be met in the guest's midst.
    let available = sysconf(Int32(_SC_PHYS_PAGES)) / 256
    guard configuration.memory < available else {
      throw ToolstackError(
        "memory = \(configuration.memory) is more than this host has, \(available) MiB; give the domain less")
    }
    let kernel = try HostFile.read(configuration.kernel, role: "kernel", limit: HostFile.kernelLimit)
    var ramdisk: [UInt8] = []
    if let path = configuration.ramdisk {
      ramdisk = try HostFile.read(path, role: "ramdisk", limit: HostFile.kernelLimit)
    }
    do {
      var builder = try Self.makeBuilder(configuration, kernel, ramdisk)
      builder.keepOutOfMemory()
      self.builder = builder
    } catch {
      throw ToolstackError("kernel \(configuration.kernel): \(error.message)")
    }
    disks = try configuration.disks.map { disk throws(ToolstackError) in (try Self.open(disk), disk.device) }
    interfaces = try configuration.interfaces.enumerated().map { number, interface throws(ToolstackError) in
      let address = interface.mac.map(EthernetAddress.init)
      return (
        try Self.makeNetwork(interface),
        address ?? EthernetAddress(domainName: configuration.name, number: number)
      )
    }
  }

  private static func makeBuilder(_ configuration: GuestConfiguration, _ kernel: [UInt8], _ ramdisk: [UInt8])
    throws(ImageProblem) -> any GuestBuilder
  {
    let image = try CompressedImage.unpack(kernel, limit: HostFile.kernelLimit)
    let frameCount = UInt64(configuration.memory) << 8
    switch configuration.type {
    case .pv:
      return try DomainBuilder(
        image: try KernelImage(image), ramdisk: ramdisk, commandLine: configuration.commandLine,
        frameCount: frameCount)
    case .pvh:
      return try PhysicalBuilder(
        kernel: try PhysicalKernel(image), ramdisk: ramdisk, commandLine: configuration.commandLine,
        frameCount: frameCount, processorCount: configuration.vcpus)
    }
  }

  private static func open(_ disk: DiskConfiguration) throws(ToolstackError) -> any BlockQueue {
    if disk.format == .qcow2 { return BlockQueues.open(try ImageServer.open(disk)) }
    do {
      return BlockQueues.open(
        try DiskImage(path: disk.target, readOnly: disk.readOnly, discard: disk.discard))
    } catch {
      throw ToolstackError("disk \(disk.device.name): \(error.description)")
    }
  }

  private static func makeNetwork(_ interface: NetworkConfiguration) throws(ToolstackError)
    -> any GuestNetwork
  {
    do throws(NetworkError) {
      if let tap = interface.tap { return try TapNetwork(interface: tap) }
      return try UserNetwork(forwards: interface.forwards)
    } catch {
      throw ToolstackError("vif: \(error.description)")
    }
  }

  var frameCount: Int { configuration.memory << 8 }
}
