// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Xenstore

/// What a domain's socket reaches.
protocol Controlled: AnyObject, Sendable {
  func answer(_ request: ControlRequest) -> ControlAnswer
}

enum ControlAnswer {
  /// The reply; the connection stays open for further requests.
  case reply(ControlReply)
  /// The connection is somebody else's from now on, after this reply.
  case handOver(ControlReply, to: @Sendable (Int32) -> Void)
}

/// Listens on a domain's socket. Only this user reaches it; a client that is slow is waited for a second, no more.
final class ControlServer: Sendable {
  private let path: String
  private let listener: Int32
  private let thread = ServiceThread(name: "control")
  private weak let controlled: (any Controlled)?

  /// Connections at once.
  private static let limit = 16

  /// Makes the socket, on which nobody answers before `start`.
  /// - Returns: nil if there can be no socket: the domain runs without.
  init?(for domain: String, _ controlled: any Controlled) {
    guard ControlDirectory.create() else { return nil }
    let own = ControlDirectory.fileName(of: domain)
    // A domain of the same name keeps its socket; this one is told apart by its process.
    guard let (path, listener) = Self.listen(own) ?? Self.listen("\(own)-\(getpid())") else { return nil }
    self.path = path
    self.listener = listener
    self.controlled = controlled
  }

  /// Begins to answer, on a thread of its own.
  func start() {
    thread.start { [listener, weak controlled] wakeUp, isStopping in
      Self.serve(listener, wakeUp, isStopping) { controlled?.answer($0) }
    }
  }

  private static func listen(_ name: String) -> (path: String, listener: Int32)? {
    let path = ControlDirectory.socket(of: name)
    // What a process left that died is in nobody's use.
    let probe = UnixSocket.make()
    let refused = UnixSocket.use(path) { connect(probe, $0, $1) }
    close(probe)
    if refused == nil { return nil }
    if refused == ECONNREFUSED { unlink(path) }
    let listener = UnixSocket.make()
    guard listener >= 0, UnixSocket.use(path, { bind(listener, $0, $1) }) == nil,
      Glibc.listen(listener, 16) == 0
    else {
      close(listener)
      return nil
    }
    return (path, listener)
  }

  /// Ends it; connections that were handed over go on.
  func close() {
    unlink(path)
    thread.stop()
    Glibc.close(listener)
  }

  private static func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

  private static func serve(
    _ listener: Int32, _ wakeUp: WakeUp, _ isStopping: () -> Bool,
    _ answer: (ControlRequest) -> ControlAnswer?
  ) {
    var clients: [Int32] = []
    defer { for client in clients { close(client) } }
    while !isStopping() {
      var waiting = [wakeUp.descriptor, clients.count < limit ? listener : -1].map {
        pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
      }
      waiting += clients.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard poll(&waiting, nfds_t(waiting.count), -1) > 0 else { continue }
      if waiting[0].revents != 0 { wakeUp.clear() }
      let ready = zip(clients, waiting.dropFirst(2)).filter { $0.1.revents != 0 }.map(\.0)
      for client in ready where !exchange(client, answer) { clients.removeAll { $0 == client } }
      if waiting[1].revents != 0 {
        let client = accept(listener, nil, nil)
        guard client >= 0 else { continue }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        UnixSocket.limitWaiting(client, seconds: 1)
        clients.append(client)
      }
    }
  }

  /// One request and its reply.
  /// - Returns: false if the connection is no more this server's.
  private static func exchange(_ client: Int32, _ answer: (ControlRequest) -> ControlAnswer?) -> Bool {
    guard let line = UnixSocket.readLine(client, limit: ControlRequest.limit) else {
      close(client)
      return false
    }
    guard let request = ControlLine.decode(ControlRequest.self, line) else {
      return reply(ControlReply(error: "this is no request that this version knows"), client)
    }
    switch answer(request) {
    case nil:
      close(client)
      return false
    case .reply(let message): return reply(message, client)
    case .handOver(let message, let take):
      if reply(message, client) { take(client) }
      return false
    }
  }

  private static func reply(_ message: ControlReply, _ client: Int32) -> Bool {
    if UnixSocket.write(ControlLine.encode(message), to: client) { return true }
    close(client)
    return false
  }
}
