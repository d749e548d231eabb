// SPDX-License-Identifier: Apache-2.0

import Devices
import Glibc
import Hypervisor
import Interfaces
import Synchronization
import Xenstore

/// Answers what is asked of a domain while it runs, through all of its lives.
final class DomainControl: Controlled {
  private struct Present {
    var domain: Domain?
    var since = 0
    var isPaused = false
  }
  private let configuration: GuestConfiguration
  private let store: HostStore
  private let attachments: ConsoleAttachments
  private let watchers: StoreWatchers
  private let destroy: @Sendable () -> Void
  private let present = Mutex(Present())

  init(
    _ configuration: GuestConfiguration, _ store: Store, _ attachments: ConsoleAttachments,
    destroy: @escaping @Sendable () -> Void
  ) {
    self.configuration = configuration
    self.store = HostStore(store)
    watchers = StoreWatchers(self.store)
    self.attachments = attachments
    self.destroy = destroy
  }

  /// Begins to tell of changes in the store, on a thread of its own.
  func start() { watchers.start() }

  /// The domain's next life begins; nil when the last one has ended. One that was paused begins paused.
  func enter(_ domain: Domain?) {
    let pauses = present.withLock { present in
      present.domain = domain
      present.since = Self.now
      return present.isPaused
    }
    if pauses { domain?.pause() }
  }

  /// Ends what hangs on the store and the console.
  func close() {
    enter(nil)
    watchers.close()
    attachments.closeAll()
    store.disconnect()
  }

  private static var now: Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec
  }

  func answer(_ request: ControlRequest) -> ControlAnswer {
    guard let domain = present.withLock({ $0.domain }) else {
      return .reply(ControlReply(error: "domain \(configuration.name) is between two lives; ask again"))
    }
    switch request {
    case .status: return .reply(ControlReply(status: status(domain)))
    case .destroy: destroy()
    case .pause, .unpause:
      let pauses = request == .pause
      present.withLock { $0.isPaused = pauses }
      if pauses { domain.pause() } else { domain.unpause() }
    case .shutdown(let how): return .reply(shutDown(domain, how))
    case .memory(let mebibytes): return .reply(setMemory(domain, mebibytes))
    case .systemRequest(let key): return .reply(systemRequest(domain, key))
    case .console: return attach()
    case .storeWatch(let path):
      return withPath(path, domain) { path in
        guard watchers.hasRoom else {
          return .reply(
            ControlReply(error: "\(StoreWatchers.limit) watches are open already; end one of them"))
        }
        return .handOver(ControlReply()) { [watchers] in watchers.add($0, path) }
      }
    case .storeList(let path): return withPath(path, domain) { .reply(list($0)) }
    case .storeRead(let path):
      return withPath(path, domain) { path in
        guard store.exists(path) else { return .reply(ControlReply(error: "\(path): there is no such node")) }
        return .reply(ControlReply(nodes: [StoreNode(path: path.description, value: store.read(path))]))
      }
    case .storeWrite(let path, let value):
      return withPath(path, domain) { path in
        store.write(path, value)
        return .reply(ControlReply())
      }
    case .storeRemove(let path):
      return withPath(path, domain) { path in
        guard path != .root, store.exists(path) else {
          return .reply(ControlReply(error: "\(path): there is no such node to remove"))
        }
        store.remove(path)
        return .reply(ControlReply())
      }
    }
    return .reply(ControlReply())
  }

  private func status(_ domain: Domain) -> DomainStatus {
    let since = present.withLock { $0.since }
    return DomainStatus(
      name: configuration.name, id: domain.id.rawValue, memory: domain.currentFrameCount >> 8,
      vcpus: configuration.vcpus, state: domain.isPaused ? "paused" : "running", seconds: Self.now - since,
      process: getpid())
  }

  // MARK: The guest is asked

  /// Source: docs/misc/xenstore-paths.pandoc, `control/shutdown`, `control/sysrq`.
  private func shutDown(_ domain: Domain, _ how: String) -> ControlReply {
    guard ["poweroff", "reboot", "halt"].contains(how) else {
      return ControlReply(error: "a domain can be asked to poweroff, reboot or halt, not \"\(how)\"")
    }
    store.write(.home(of: domain.id) / "control/shutdown", how)
    return ControlReply()
  }

  /// A guest that is given less than this is not helped by it, but killed.
  private static let leastMemory = 32

  /// Source: docs/misc/xenstore-paths.pandoc, `memory/target`, in KiB.
  private func setMemory(_ domain: Domain, _ mebibytes: Int) -> ControlReply {
    guard (Self.leastMemory...max(Self.leastMemory, configuration.memory)).contains(mebibytes) else {
      let limits = "between \(Self.leastMemory) and \(configuration.memory) MiB"
      return ControlReply(error: "domain \(configuration.name) can have \(limits), not \(mebibytes)")
    }
    store.write(.home(of: domain.id) / "memory/target", mebibytes << 10)
    return ControlReply()
  }

  private func systemRequest(_ domain: Domain, _ key: String) -> ControlReply {
    guard key.utf8.count == 1, let byte = key.utf8.first, (0x21...0x7e).contains(byte) else {
      return ControlReply(error: "a SysRq key is one character, not \"\(key)\"")
    }
    store.write(.home(of: domain.id) / "control/sysrq", key)
    return ControlReply()
  }

  private func attach() -> ControlAnswer {
    guard attachments.hasRoom else {
      return .reply(
        ControlReply(error: "\(ConsoleAttachments.limit) terminals are attached already; detach one of them"))
    }
    return .handOver(ControlReply()) { [attachments] in attachments.attach($0) }
  }

  // MARK: The store

  /// A path as the user gives it: relative ones are the domain's own.
  private func withPath(_ text: String, _ domain: Domain, _ body: (StorePath) -> ControlAnswer)
    -> ControlAnswer
  {
    let full = text.hasPrefix("/") ? text : text.isEmpty ? nil : "\(StorePath.home(of: domain.id))/\(text)"
    guard let path = StorePath(full ?? StorePath.home(of: domain.id).description) else {
      return .reply(
        ControlReply(error: "\"\(text)\" is no path: it has letters, digits, - _ @, and no / at its end"))
    }
    return body(path)
  }

  /// Nodes listed at most.
  private static let listLimit = 10_000

  private func list(_ path: StorePath) -> ControlReply {
    guard store.exists(path) else { return ControlReply(error: "\(path): there is no such node") }
    var nodes: [StoreNode] = []
    var waiting = [path]
    while let next = waiting.popLast() {
      if nodes.count == Self.listLimit {
        return ControlReply(error: "\(path) has more than \(Self.listLimit) nodes below it; name one of them")
      }
      nodes.append(StoreNode(path: next.description, value: store.read(next)))
      waiting += store.directory(next).reversed().map { next / $0 }
    }
    return ControlReply(nodes: nodes)
  }
}
