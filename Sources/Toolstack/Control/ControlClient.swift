// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A connection to a running domain.
public final class ControlClient {
  private let name: String
  /// After a `console` request: the console.
  public let descriptor: Int32

  /// Connects to a domain, by its name or by its process's number.
  public init(_ name: String) throws(ToolstackError) {
    self.name = name
    descriptor = UnixSocket.make()
    guard descriptor >= 0 else {
      throw ToolstackError("no more file descriptors: raise the limit (ulimit -n)")
    }
    let descriptor = descriptor
    switch UnixSocket.use(ControlDirectory.socket(of: name), { connect(descriptor, $0, $1) }) {
    case nil: UnixSocket.limitWaiting(descriptor, seconds: 10)
    case ENOENT, ECONNREFUSED, ENAMETOOLONG:
      close(descriptor)
      throw ToolstackError("no domain \(name) runs here; lockstep list shows those that do")
    case .some(let code):
      close(descriptor)
      throw ToolstackError("domain \(name) cannot be reached: \(String(cString: strerror(code)))")
    }
  }

  deinit { close(descriptor) }

  /// Asks, and waits for the answer.
  public func ask(_ request: ControlRequest) throws(ToolstackError) -> ControlReply {
    guard UnixSocket.write(ControlLine.encode(request), to: descriptor), let reply = next() else {
      throw ToolstackError("domain \(name) does not answer; it may just have ended")
    }
    if let error = reply.error { throw ToolstackError(error) }
    return reply
  }

  /// The next reply of a watch; nil if the domain has ended.
  public func next() -> ControlReply? {
    UnixSocket.readLine(descriptor, limit: 16 << 20).flatMap { ControlLine.decode(ControlReply.self, $0) }
  }

  /// Lets `next` wait for as long as it takes.
  public func waitForever() { UnixSocket.limitWaiting(descriptor, seconds: 0) }
}
