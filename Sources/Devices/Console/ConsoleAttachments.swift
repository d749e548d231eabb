// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Terminals that are attached to a domain's console while it runs, by their sockets; they stay through restarts.
public final class ConsoleAttachments: Sendable {
  private struct State {
    var waiting: [Int32] = []
    /// Those that wait or are with the console.
    var count = 0
    var wake: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  /// Terminals at once.
  public static let limit = 8

  public init() {}

  public var hasRoom: Bool { state.withLock { $0.count < Self.limit } }

  /// Attaches a terminal; call it where there is room.
  /// - Parameter socket: taken over, and closed when its other side or the domain goes.
  public func attach(_ socket: Int32) {
    _ = fcntl(socket, F_SETFL, O_NONBLOCK)
    let wake = state.withLock { state in
      state.count += 1
      state.waiting.append(socket)
      return state.wake
    }
    wake?()
  }

  /// Who is to be told of new ones.
  func tell(_ wake: (@Sendable () -> Void)?) { state.withLock { $0.wake = wake } }

  /// Those that wait for a console to take them.
  func take() -> [Int32] {
    state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
  }

  /// A console that ends leaves its terminals for the next.
  func leave(_ sockets: [Int32]) { state.withLock { $0.waiting += sockets } }

  /// One has gone.
  func drop(_ socket: Int32) {
    close(socket)
    state.withLock { $0.count -= 1 }
  }

  /// Ends all that wait, when no console will come any more.
  public func closeAll() { for socket in take() { drop(socket) } }
}
