// SPDX-License-Identifier: Apache-2.0

import Xenstore

/// What is behind a guest's network interface. Belongs to one thread at a time.
public protocol GuestNetwork: AnyObject {
  /// Whether it can be sent segments of TCP over IPv4 that are larger than frames.
  var takesLargeSegments: Bool { get }

  /// Takes a frame from the guest; loses it if it cannot go on.
  func send(_ frame: UnsafeRawBufferPointer)

  /// Sleeps until something happens outside or the wake-up is raised, lowers it, and does what is to be done then.
  /// - Parameters:
  ///   - limit: how long to sleep at most, in milliseconds; nil for no limit.
  ///   - receive: is given the frames for the guest, those that answer what it has sent among them.
  func wait(for wakeUp: WakeUp, atMost limit: UInt32?, receive: @escaping (UnsafeRawBufferPointer) -> Void)
}

/// Why there is no network, in one line.
public struct NetworkError: Error, Sendable, Hashable, CustomStringConvertible {
  public var description: String
}
