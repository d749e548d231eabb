// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

@testable import Xenstore

/// What a guest without sense does to its store ring, read from bytes, and what must hold whatever it is: each request is
/// answered once, in order, as long as the guest reads and its indices are sound; nodes that are the host's stay as they
/// are and untold; and the guest owns no more nodes than its quota.
public final class StoreScript {
  private let page = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)
  private let store = Store(quota: StoreScript.quota)
  private let host: HostStore
  private let server: StoreRingServer
  private let guest: OptimisedStreamRing
  private var sent = Messages()
  private var received = Messages()
  private var awaited: [Messages.Message] = []
  private var answered = 0
  private var reads = true
  private var isOver = false
  private var saysSecret = false
  private var complaint: String?

  private static let domain = DomainID(1)
  private static let home = StorePath.home(of: domain)
  public static let secretPath = StorePath.root / "secret"
  public static let namePath = home / "name"
  private static let sharedPath = home / "data/host"
  private static let secret = "6PqX0wVt9LdZ"

  /// Small, so that short scripts reach it.
  private static var quota: StoreQuota {
    var quota = StoreQuota()
    quota.nodes = 12
    quota.valueSize = 64
    quota.permissions = 3
    quota.watches = 4
    quota.transactions = 2
    quota.transactionSize = 16
    quota.pendingEvents = 8
    return quota
  }

  private init(_ weaken: (HostStore) -> Void, _ ring: (any StreamRing) -> any StreamRing) {
    page.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    host = HostStore(store)
    host.write(Self.secretPath, Self.secret, StorePermissions(owner: .host))
    let readable = StorePermissions(owner: .host, .init(Self.domain, .read))
    host.write(Self.home, "", readable)
    host.write(Self.namePath, "guest", readable)
    for path in [Self.home / "data", Self.sharedPath] {
      host.write(path, "", StorePermissions(owner: Self.domain))
    }
    weaken(host)
    guest = OptimisedStreamRing(page: page, layout: .xenstore, end: .guest)
    server = StoreRingServer(
      store: store, domain: Self.domain,
      ring: ring(OptimisedMachinery().makeStreamRing(page: page, layout: .xenstore))
    ) {}
  }

  deinit { page.deallocate() }

  /// Does what the bytes say.
  /// - Parameters:
  ///   - weaken: takes something away from the store's safety, and `ring` puts something around its ring, for alarms
  ///     to ring.
  /// - Returns: what does not hold; nil if all does.
  public static func run(
    _ bytes: UnsafeBufferPointer<UInt8>, weaken: (HostStore) -> Void = { _ in },
    ring: (any StreamRing) -> any StreamRing = { $0 }
  ) -> String? {
    let script = StoreScript(weaken, ring)
    script.saysSecret = Messages.contains(bytes, secret)
    var rest = bytes[...]
    while !script.isOver, script.complaint == nil, let operation = rest.popFirst() {
      script.perform(operation & 7, &rest)
    }
    if !script.isOver {
      script.reads = true
      script.work()
    }
    script.checkEnd()
    return script.complaint
  }

  private func complain(_ text: String) { complaint = complaint ?? text }

  // MARK: What the guest and the host do

  private func perform(_ operation: UInt8, _ rest: inout Slice<UnsafeBufferPointer<UInt8>>) {
    func byte() -> UInt8 { rest.popFirst() ?? 0 }
    func take(_ count: UInt8) -> [UInt8] {
      defer { rest = rest.dropFirst(Int(count)) }
      return Array(rest.prefix(Int(count)))
    }
    switch operation {
    case 0, 1:
      let kind = byte()
      let transaction = byte()
      let payload = take(byte())
      send(
        StoreMessage(
          type: UInt32(kind), request: UInt32(awaited.count), transaction: UInt32(transaction),
          payload: payload
        ).bytes)
    case 2: send(take(byte()))
    case 3:
      let index = Int(byte() & 3)
      let value = take(4).reduce(0) { $0 << 8 | UInt32($1) }
      // The four indices lie behind the two directions' bytes.
      page.storeBytes(of: value, toByteOffset: 2048 + 4 * index, as: UInt32.self)
      // From here on what the guest meant is anybody's guess.
      _ = try? server.work()
      isOver = true
    case 4: host.write(Self.sharedPath, Int(byte()))
    case 5: host.remove(Self.sharedPath)
    default: reads.toggle()
    }
    if !isOver { work() }
  }

  private func send(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty, !isOver {
      let count = (try? rest.withUnsafeBytes { try guest.write($0) }) ?? 0
      sent.add(rest.prefix(count))
      while let message = sent.next() { awaited.append(message) }
      rest = rest.dropFirst(count)
      work()
      // It does not read, and is not answered: what it says further is not heard.
      if count == 0 { return isOver = true }
    }
  }

  private func work() {
    do {
      repeat { _ = try server.work() } while !isOver && collect()
    } catch {
      if !sent.isLost { complain("a sound ring is called corrupt: \(error)") }
      isOver = true
    }
  }

  private func collect() -> Bool {
    guard reads else { return false }
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = (try? buffer.withUnsafeMutableBytes { try guest.read(into: $0) }) ?? 0
    received.add(buffer.prefix(count))
    while let message = received.next() { check(message) }
    return count > 0
  }

  // MARK: What must hold

  private func check(_ message: Messages.Message) {
    if !saysSecret, message.payload.withUnsafeBufferPointer({ Messages.contains($0, Self.secret) }) {
      complain("a guest is told what it may not know")
    }
    let isEvent = message.type == StoreMessageType.watchEvent.rawValue && message.request == 0
    guard !isEvent else { return }
    guard answered < awaited.count else { return complain("there is an answer without a request") }
    let request = awaited[answered]
    answered += 1
    guard message.request == request.request, message.transaction == request.transaction,
      message.type == request.type || message.type == StoreMessageType.error.rawValue
    else { return complain("an answer is not the one that is due") }
  }

  private func checkEnd() {
    if received.isLost { complain("an answer is too long") }
    if !isOver, answered < awaited.count { complain("a request has no answer") }
    if host.read(Self.secretPath) != Self.secret || host.read(Self.namePath) != "guest" {
      complain("a guest has changed a node of the host's")
    }
    // The host may have made one node more for it.
    if ownedNodes(.root) > Self.quota.nodes + 1 { complain("a guest owns more nodes than its quota") }
    server.close()
  }

  private func ownedNodes(_ path: StorePath) -> Int {
    let client = store.connect(as: .host)
    let own = (try? store.permissions(of: path, by: client))?.owner == Self.domain ? 1 : 0
    let children = (try? store.directory(path, by: client)) ?? []
    return children.reduce(own) { $0 + ownedNodes(path / $1) }
  }
}

/// Messages on the wire, read another way than the store reads them.
private struct Messages {
  struct Message {
    var type: UInt32
    var request: UInt32
    var transaction: UInt32
    var payload: [UInt8]
  }

  private var bytes: [UInt8] = []
  /// Whether there was a message that is too long.
  private(set) var isLost = false

  mutating func add(_ more: some Collection<UInt8>) { bytes += more }

  mutating func next() -> Message? {
    guard !isLost, bytes.count >= 16 else { return nil }
    let words = (0..<4).map { word in
      (0..<4).reduce(0) { $0 | UInt32(bytes[4 * word + $1]) << UInt32(8 * $1) }
    }
    isLost = words[3] > 4096
    guard !isLost, bytes.count >= 16 + Int(words[3]) else { return nil }
    let payload = Array(bytes[16..<(16 + Int(words[3]))])
    bytes.removeFirst(16 + payload.count)
    return Message(type: words[0], request: words[1], transaction: words[2], payload: payload)
  }

  static func contains(_ bytes: UnsafeBufferPointer<UInt8>, _ text: String) -> Bool {
    let wanted = Array(text.utf8)
    guard bytes.count >= wanted.count else { return false }
    return (0...(bytes.count - wanted.count)).contains { bytes[$0...].starts(with: wanted) }
  }
}
