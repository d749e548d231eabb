// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Xenstore

/// What a guest expects to find in the store about itself.
/// Source: docs/misc/xenstore-paths.pandoc.
struct GuestDirectory {
  let domain: DomainID
  let store: HostStore

  private var home: StorePath { .home(of: domain) }
  private var machine: StorePath { .root / "vm/\(domain)" }

  /// What the rings of console and store are, as the guest was told at its start; frames by the guest's own numbers.
  struct Rings {
    var storeFrame: UInt64
    var storePort: EventPort
    var consoleFrame: UInt64
    var consolePort: EventPort
  }

  /// Nodes that the guest may write; all others are the toolstack's word.
  private static let guestOwned = [
    "data", "drivers", "feature", "attr", "error", "control/shutdown", "control/sysrq",
    "control/feature-poweroff",
    "control/feature-reboot", "control/feature-suspend", "device/suspend/event-channel",
  ]

  func create(_ configuration: GuestConfiguration, _ rings: Rings) {
    let readable = StorePermissions(owner: .host, .init(domain, .read))
    let writable = StorePermissions(owner: domain)
    func put(_ name: String, _ value: some CustomStringConvertible) {
      store.write(home / name, value, readable)
    }
    store.write(home, "", readable)
    store.write(machine, "", readable)
    store.write(machine / "name", configuration.name, readable)
    put("vm", machine)
    put("name", configuration.name)
    put("domid", domain)
    for directory in ["cpu", "memory", "control", "device", "device/vbd", "device/vif", "store", "console"] {
      put(directory, "")
    }
    for number in 0..<configuration.vcpus {
      put("cpu/\(number)", "")
      put("cpu/\(number)/availability", "online")
    }
    // In KiB.
    put("memory/static-max", configuration.memory << 10)
    put("memory/target", configuration.memory << 10)
    put("memory/videoram", 0)
    put("control/platform-feature-multiprocessor-suspend", 1)
    put("control/platform-feature-xs_reset_watches", 1)
    put("store/port", rings.storePort)
    put("store/ring-ref", rings.storeFrame)
    put("console/backend-id", DomainID.host)
    put("console/type", "lockstep")
    put("console/output", "pty")
    put("console/limit", 1 << 20)
    put("console/port", rings.consolePort)
    put("console/ring-ref", rings.consoleFrame)
    for name in Self.guestOwned { store.write(home / name, "", writable) }
  }

  func remove() {
    store.remove(home)
    store.remove(machine)
  }
}
