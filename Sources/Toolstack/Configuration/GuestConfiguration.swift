// SPDX-License-Identifier: Apache-2.0

import Hypervisor

/// What happens when a domain ends of itself (`on_poweroff`, `on_reboot`, `on_crash`).
public enum EndAction: String, Sendable, Hashable, CaseIterable {
  case destroy
  case restart
}

/// A domain as its configuration file describes it, in xl's vocabulary (xl.cfg(5)).
public struct GuestConfiguration: Sendable, Hashable {
  /// The domain's name; without the key, the file's own, less its suffix.
  public var name: String
  /// How its kernel runs.
  public var type: GuestType
  /// The path of the kernel image.
  public var kernel: String
  /// The path of the initial RAM disk.
  public var ramdisk: String?
  /// The kernel's command line: `cmdline`, or `root` and `extra`.
  public var commandLine: String
  /// Memory in MiB.
  public var memory: Int
  /// Virtual processors.
  public var vcpus: Int
  public var disks: [DiskConfiguration]
  public var interfaces: [NetworkConfiguration]
  public var onPoweroff: EndAction
  public var onReboot: EndAction
  public var onCrash: EndAction

  /// MiB that a domain can have.
  public static let memoryRange = 4...65536
  /// MiB of a domain whose file does not say.
  public static let defaultMemory = 128
  /// Virtual processors that a domain can have: what shared_info has room for.
  public static let vcpusRange = 1...32

  public init(
    name: String, type: GuestType = .pv, kernel: String, ramdisk: String? = nil, commandLine: String = "",
    memory: Int = GuestConfiguration.defaultMemory, vcpus: Int = 1, disks: [DiskConfiguration] = [],
    interfaces: [NetworkConfiguration] = [], onPoweroff: EndAction = .destroy,
    onReboot: EndAction = .restart, onCrash: EndAction = .destroy
  ) {
    self.name = name
    self.type = type
    self.kernel = kernel
    self.ramdisk = ramdisk
    self.commandLine = commandLine
    self.memory = memory
    self.vcpus = vcpus
    self.disks = disks
    self.interfaces = interfaces
    self.onPoweroff = onPoweroff
    self.onReboot = onReboot
    self.onCrash = onCrash
  }

  /// Reads a configuration file's text.
  /// - Parameter file: its name, for messages and for the domain's default name.
  /// - Returns: the configuration, and what in the file has no effect or a doubtful one.
  /// - Throws: the first thing that makes the file unusable.
  public static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationProblem)
    -> (configuration: GuestConfiguration, warnings: [ConfigurationProblem])
  {
    var parser = try ConfigurationParser(bytes: bytes, file: file)
    try parser.parse()
    var reader = ConfigurationReader(file: file, settings: parser.settings, warnings: parser.warnings)
    let configuration = try reader.domain()
    return (configuration, reader.warnings)
  }
}
