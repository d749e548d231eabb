// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// One guest's requests, answered one by one. Knows nothing of rings and threads.
struct StoreSession: Sendable {
  let store: Store
  let client: StoreClient
  /// Where this guest's watch events go.
  let deliver: @Sendable (StoreEvent) -> Void

  init(store: Store, domain: DomainID, deliver: @escaping @Sendable (StoreEvent) -> Void) {
    self.store = store
    client = store.connect(as: domain)
    self.deliver = deliver
  }

  /// Carries a request out.
  /// - Returns: the reply; every request has one.
  func handle(_ message: StoreMessage) -> StoreMessage {
    do throws(StoreError) {
      let payload = try perform(message)
      guard payload.count <= StoreMessage.maximumPayload else { throw .tooBig }
      return message.reply(payload)
    } catch {
      return message.reply(error: error)
    }
  }

  private func perform(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    switch StoreMessageType(rawValue: message.type) {
    case .directory: try directory(message)
    case .directoryPart: try directoryPart(message)
    case .read: try store.read(path(message), by: client, in: message.transaction)
    case .getPermissions: try permissions(message)
    case .watch: try watch(message)
    case .unwatch: try unwatch(message)
    case .transactionStart: try startTransaction(message)
    case .transactionEnd: try endTransaction(message)
    case .getDomainPath: Self.texts([StorePath.home(of: try domain(message)).description])
    case .write: try write(message)
    case .makeDirectory: try change(.makeDirectory(path(message)), message)
    case .remove: try change(.remove(path(message)), message)
    case .setPermissions: try setPermissions(message)
    case .isDomainIntroduced: Self.texts([store.isIntroduced(try domain(message)) ? "T" : "F"])
    case .resetWatches: resetWatches()
    case .control, .introduce, .release, .resume, .setTarget: throw .accessDenied
    case .watchEvent, .error, nil: throw .notImplemented
    }
  }

  // MARK: arguments

  private static let okay: [UInt8] = Array("OK\0".utf8)

  private static func texts(_ texts: [String]) -> [UInt8] { texts.flatMap { Array($0.utf8) + [0] } }

  /// The payload's fields, each closed by a zero byte; at least `count` of them.
  private func texts(_ message: StoreMessage, atLeast count: Int) throws(StoreError) -> [String] {
    let fields = message.fields
    guard fields.last?.isEmpty == true, fields.count > count else { throw .invalid }
    var texts: [String] = []
    for field in fields.dropLast() {
      guard let text = String(validating: field, as: UTF8.self) else { throw .invalid }
      texts.append(text)
    }
    return texts
  }

  private func path(_ text: String) throws(StoreError) -> StorePath {
    guard let path = StorePath(text, of: client.domain) else { throw .invalid }
    return path
  }

  private func path(_ message: StoreMessage) throws(StoreError) -> StorePath {
    try path(texts(message, atLeast: 1)[0])
  }

  private func domain(_ message: StoreMessage) throws(StoreError) -> DomainID {
    guard let number = UInt16(try texts(message, atLeast: 1)[0]), number <= DomainID.current.rawValue else {
      throw .invalid
    }
    return number == DomainID.current.rawValue ? client.domain : DomainID(number)
  }

  // MARK: reading

  private func directory(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    Self.texts(try store.directory(path(message), by: client, in: message.transaction))
  }

  /// A long directory by parts: generation, then names from an offset on; a part that ends with an empty name is
  /// the last.
  private func directoryPart(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    let arguments = try texts(message, atLeast: 2)
    guard let offset = Int(arguments[1]), offset >= 0 else { throw .invalid }
    let (names, generation) = try store.directoryWithGeneration(
      path(arguments[0]), by: client, in: message.transaction)
    var part = Self.texts([String(generation)])
    let all = Self.texts(names)
    guard offset <= all.count, offset == 0 || all[offset - 1] == 0 else { throw .invalid }
    var next = offset
    while next < all.count {
      guard let end = all[next...].firstIndex(of: 0),
        part.count + end - next + 2 <= StoreMessage.maximumPayload
      else {
        return part
      }
      part += all[next...end]
      next = end + 1
    }
    return part + [0]
  }

  private func permissions(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    Self.texts(try store.permissions(of: path(message), by: client, in: message.transaction).texts)
  }

  // MARK: writing

  private func change(_ operation: StoreOperation, _ message: StoreMessage) throws(StoreError) -> [UInt8] {
    try store.apply(operation, by: client, in: message.transaction)
    return Self.okay
  }

  /// A path, and behind its zero byte the value: any bytes, to the message's end.
  private func write(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    guard let zero = message.payload.firstIndex(of: 0),
      let text = String(validating: message.payload[..<zero], as: UTF8.self)
    else { throw .invalid }
    return try change(.write(path(text), Array(message.payload[(zero + 1)...])), message)
  }

  private func setPermissions(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    let arguments = try texts(message, atLeast: 2)
    guard let permissions = StorePermissions(texts: Array(arguments.dropFirst())) else { throw .invalid }
    return try change(.setPermissions(path(arguments[0]), permissions), message)
  }

  private func startTransaction(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    guard message.transaction == 0 else { throw .invalid }
    return Self.texts([String(try store.startTransaction(by: client))])
  }

  private func endTransaction(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    let argument = try texts(message, atLeast: 1)[0]
    guard argument == "T" || argument == "F" else { throw .invalid }
    try store.endTransaction(message.transaction, commit: argument == "T", by: client)
    return Self.okay
  }

  // MARK: watches

  private func watched(_ message: StoreMessage) throws(StoreError) -> (
    target: StoreWatches.Target, isRelative: Bool, token: String
  ) {
    let arguments = try texts(message, atLeast: 2)
    let text = arguments[0]
    // An event carries path and token, and must fit a message.
    guard arguments[1].utf8.count <= StoreMessage.maximumPayload - StorePath.maximumLength - 2 else {
      throw .invalid
    }
    if text.hasPrefix("@") { return (.special(text), false, arguments[1]) }
    return (.path(try path(text)), !text.hasPrefix("/"), arguments[1])
  }

  private func watch(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    let (target, isRelative, token) = try watched(message)
    try store.watch(target, isRelative: isRelative, token: token, by: client, deliver)
    return Self.okay
  }

  private func unwatch(_ message: StoreMessage) throws(StoreError) -> [UInt8] {
    let (target, _, token) = try watched(message)
    try store.unwatch(target, token: token, by: client)
    return Self.okay
  }

  private func resetWatches() -> [UInt8] {
    store.reset(client)
    return Self.okay
  }
}
