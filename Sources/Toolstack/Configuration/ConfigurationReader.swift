// SPDX-License-Identifier: Apache-2.0

import Hypervisor

/// Gives the settings of a file their meaning, and complains of those that have none.
struct ConfigurationReader {
  let file: String
  private var settings: [String: ConfigurationSetting]
  private(set) var warnings: [ConfigurationProblem]

  init(file: String, settings: [ConfigurationSetting], warnings: [ConfigurationProblem]) {
    self.file = file
    self.settings = Dictionary(settings.map { ($0.key, $0) }, uniquingKeysWith: { _, last in last })
    self.warnings = warnings
  }

  mutating func domain() throws(ConfigurationProblem) -> GuestConfiguration {
    let type = try guestType()
    guard let kernel = try string("kernel") else {
      throw problem(
        "no kernel; add a line such as kernel = \"/usr/lib/grub-xen/grub-x86_64-xen.bin\"", at: nil)
    }
    let configuration = GuestConfiguration(
      name: try name(),
      type: type,
      kernel: kernel,
      ramdisk: try string("ramdisk"),
      commandLine: try commandLine(),
      memory: try integer("memory", in: GuestConfiguration.memoryRange, of: "MiB")
        ?? GuestConfiguration.defaultMemory,
      vcpus: try integer("vcpus", in: GuestConfiguration.vcpusRange, of: "virtual processors") ?? 1,
      disks: try disks(),
      interfaces: try interfaces(),
      onPoweroff: try endAction("on_poweroff") ?? .destroy,
      onReboot: try endAction("on_reboot") ?? .restart,
      onCrash: try endAction("on_crash") ?? .destroy)
    warnOfTheRest()
    return configuration
  }

  // MARK: keys

  /// What kind of domain it is; say so of a kind that is not built before anything else is looked at.
  private mutating func guestType() throws(ConfigurationProblem) -> GuestType {
    var type = GuestType.pv
    for (key, ours) in [("type", ["pv", "pvh"]), ("builder", ["generic", "linux"])] {
      guard let setting = settings[key], let value = try string(key) else { continue }
      guard ours.contains(value) else {
        throw problem(
          "\(key) = \"\(value)\" is not supported; only PV and PVH domains are: write type = \"pv\" and give a PV "
            + "kernel",
          at: setting.value.position)
      }
      type = GuestType(rawValue: value) ?? type
    }
    return type
  }

  private mutating func name() throws(ConfigurationProblem) -> String {
    guard let setting = settings["name"], let name = try string("name") else {
      let base = file.split(separator: "/").last.map(String.init) ?? file
      return base.hasSuffix(".cfg") && base.count > 4 ? String(base.dropLast(4)) : base
    }
    guard !name.isEmpty, name.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "/") })
    else {
      throw problem(
        "a domain's name is printable ASCII without blanks and slashes", at: setting.value.position)
    }
    return name
  }

  /// xl's rule: `cmdline` stands alone; else `root` becomes root=…, and `extra` follows.
  private mutating func commandLine() throws(ConfigurationProblem) -> String {
    let root = try string("root")
    let extra = try string("extra")
    guard let line = try string("cmdline") else {
      return [root.map { "root=" + $0 }, extra].compactMap(\.self).joined(separator: " ")
    }
    if let setting = settings["cmdline"], root != nil || extra != nil {
      warnings.append(problem("cmdline is given, so root and extra have no effect", at: setting.position))
    }
    return line
  }

  private mutating func disks() throws(ConfigurationProblem) -> [DiskConfiguration] {
    var disks: [DiskConfiguration] = []
    for (text, position) in try strings("disk") {
      let disk: DiskConfiguration
      do {
        disk = try DiskConfiguration(text)
      } catch {
        throw problem("disk \"\(text)\": \(error.message)", at: position)
      }
      if disks.contains(where: { $0.device.number == disk.device.number }) {
        throw problem("two disks are called \(disk.device.name); give each its own name", at: position)
      }
      disks.append(disk)
    }
    return disks
  }

  private mutating func interfaces() throws(ConfigurationProblem) -> [NetworkConfiguration] {
    var interfaces: [NetworkConfiguration] = []
    for (text, position) in try strings("vif") {
      let interface: NetworkConfiguration
      do {
        interface = try NetworkConfiguration(text)
      } catch {
        throw problem("vif \"\(text)\": \(error.message)", at: position)
      }
      interfaces.append(interface)
      for field in interface.ignored {
        warnings.append(
          problem("vif: '\(field)' is not supported yet and has no effect", at: position))
      }
    }
    return interfaces
  }

  private mutating func endAction(_ key: String) throws(ConfigurationProblem) -> EndAction? {
    guard let setting = settings[key], let value = try string(key) else { return nil }
    if let action = EndAction(rawValue: value) { return action }
    let others = ["preserve", "rename-restart", "coredump-destroy", "coredump-restart", "soft-reset"]
    guard others.contains(value) else {
      throw problem("\(key) is \"destroy\" or \"restart\", not \"\(value)\"", at: setting.value.position)
    }
    let instead: EndAction = value.hasSuffix("restart") ? .restart : .destroy
    warnings.append(
      problem(
        "\(key) = \"\(value)\" is not supported yet; taken as \"\(instead.rawValue)\"",
        at: setting.value.position))
    return instead
  }

  // MARK: values

  /// The keys that `domain()` asks for.
  static let understood: Set<String> = [
    "type", "builder", "kernel", "ramdisk", "name", "memory", "vcpus", "root", "extra", "cmdline", "disk",
    "vif",
    "on_poweroff", "on_reboot", "on_crash",
  ]

  private func string(_ key: String) throws(ConfigurationProblem) -> String? {
    guard let value = settings[key]?.value else { return nil }
    guard case .string(let text) = value.content else {
      throw problem("\(key) is a string, not \(value.content.kind): write \(key) = \"…\"", at: value.position)
    }
    return text
  }

  /// A number; as in xl, one in quotes counts too.
  private func integer(_ key: String, in range: ClosedRange<Int>, of unit: String)
    throws(ConfigurationProblem)
    -> Int?
  {
    guard let value = settings[key]?.value else { return nil }
    let number: Int? =
      switch value.content {
      case .integer(let number): number
      case .string(let text): Int(text)
      case .list: nil
      }
    guard let number else {
      throw problem("\(key) is a number of \(unit), such as \(key) = \(range.lowerBound)", at: value.position)
    }
    guard range.contains(number) else {
      throw problem(
        "\(key) is \(range.lowerBound) to \(range.upperBound) \(unit), not \(number)", at: value.position)
    }
    return number
  }

  /// A list of strings; a single string stands for a list of one.
  private func strings(_ key: String) throws(ConfigurationProblem) -> [(String, SourcePosition)] {
    guard let value = settings[key]?.value else { return [] }
    let elements: [ConfigurationValue] =
      if case .list(let list) = value.content { list } else { [value] }
    var texts: [(String, SourcePosition)] = []
    for element in elements {
      guard case .string(let text) = element.content else {
        throw problem("\(key) is a list of strings: write \(key) = [ \"…\", \"…\" ]", at: element.position)
      }
      texts.append((text, element.position))
    }
    return texts
  }

  private func problem(_ message: String, at position: SourcePosition?) -> ConfigurationProblem {
    ConfigurationProblem(file: file, position: position, message: message)
  }
}

extension ConfigurationReader {
  /// Warns of each key that nothing above asked for, in the order of the file.
  private mutating func warnOfTheRest() {
    let rest = settings.values.filter { !Self.understood.contains($0.key) }
    for setting in rest.sorted(by: { $0.position.line < $1.position.line }) {
      warnings.append(problem(Self.complaint(of: setting.key), at: setting.position))
    }
  }

  /// Keys of xl.cfg(5) that have no meaning here yet.
  private static let unsupported: Set<String> = [
    "bootloader", "bootloader_args", "maxmem", "maxvcpus", "cpus", "cpu_weight", "cap", "vfb", "vkb", "pci",
    "usbdev", "vtpm", "p9", "console", "serial", "uuid", "on_watchdog", "on_soft_reset", "localtime",
    "rtc_timeoffset", "tsc_mode", "iomem", "ioports", "irqs", "device_model_version", "boot", "hap", "pae",
    "acpi", "apic", "nomigrate", "driver_domain", "seclabel", "poolid", "pool", "vnc", "sdl", "stdvga", "usb",
    "channel", "max_grant_frames", "max_maptrack_frames", "claim_mode", "e820_host", "device_tree",
    "firmware",
  ]

  private static func complaint(of key: String) -> String {
    if unsupported.contains(key) { return "'\(key)' is not supported yet and has no effect" }
    let nearest = understood.min { ($0.distance(to: key), $0) < ($1.distance(to: key), $1) }
    guard let nearest, nearest.distance(to: key) <= 2 else {
      return "unknown key '\(key)' has no effect; remove it"
    }
    return "unknown key '\(key)' has no effect; did you mean '\(nearest)'?"
  }
}

extension String {
  /// How many letters must be put in, taken out or changed to make one word into the other.
  fileprivate func distance(to other: String) -> Int {
    let target = Array(other.utf8)
    var previous = Array(0...target.count)
    for (row, letter) in utf8.enumerated() {
      var current = [row + 1]
      for (column, wanted) in target.enumerated() {
        let change = previous[column] + (letter == wanted ? 0 : 1)
        current.append(Swift.min(change, previous[column + 1] + 1, current[column] + 1))
      }
      previous = current
    }
    return previous[target.count]
  }
}
