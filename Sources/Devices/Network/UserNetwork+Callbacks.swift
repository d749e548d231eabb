// SPDX-License-Identifier: Apache-2.0
//
// What libslirp calls. Each callback is given the network as an unretained pointer: it calls only within calls of the
// network's own, which is alive then.

import CSlirp
import Glibc

/// A timer of libslirp's.
struct SlirpTimer {
  /// When it fires, in milliseconds of the clock; nil while it is not set.
  var time: Int64?
  var fire: SlirpTimerCb?
  var argument: UnsafeMutableRawPointer?
}

extension UserNetwork {
  private static func network(_ opaque: UnsafeMutableRawPointer?) -> UserNetwork? {
    opaque.map { Unmanaged<UserNetwork>.fromOpaque($0).takeUnretainedValue() }
  }

  static func makeCallbacks() -> SlirpCb {
    var callbacks = SlirpCb()
    callbacks.send_packet = { bytes, count, opaque in
      UserNetwork.network(opaque)?.handOver(UnsafeRawBufferPointer(start: bytes, count: count))
      return count
    }
    // What a guest does wrong is its own affair, and may happen often.
    callbacks.guest_error = { _, _ in }
    callbacks.clock_get_ns = { _ in UserNetwork.now }
    callbacks.timer_new = { fire, argument, opaque in UserNetwork.network(opaque)?.addTimer(fire, argument) }
    callbacks.timer_free = { timer, opaque in
      UserNetwork.network(opaque)?.timers[Int(bitPattern: timer)] = nil
    }
    callbacks.timer_mod = { timer, time, opaque in
      UserNetwork.network(opaque)?.timers[Int(bitPattern: timer)]?.time = time
    }
    callbacks.register_poll_fd = { _, opaque in UserNetwork.network(opaque)?.socketCount += 1 }
    callbacks.unregister_poll_fd = { _, opaque in UserNetwork.network(opaque)?.socketCount -= 1 }
    // The descriptors to poll are asked for before each sleep.
    callbacks.notify = { _ in }
    return callbacks
  }

  // MARK: Descriptors

  /// libslirp's bits and poll's.
  private static let events: [(slirp: Int32, poll: Int16)] = [
    (Int32(SLIRP_POLL_IN), Int16(POLLIN)), (Int32(SLIRP_POLL_OUT), Int16(POLLOUT)),
    (Int32(SLIRP_POLL_PRI), Int16(POLLPRI)), (Int32(SLIRP_POLL_ERR), Int16(POLLERR)),
    (Int32(SLIRP_POLL_HUP), Int16(POLLHUP)),
  ]

  static let addPoll: SlirpAddPollCb = { descriptor, wanted, opaque in
    guard let network = UserNetwork.network(opaque) else { return -1 }
    let events = UserNetwork.events.reduce(Int16(0)) { wanted & $1.slirp != 0 ? $0 | $1.poll : $0 }
    network.polled.append(pollfd(fd: descriptor, events: events, revents: 0))
    return Int32(network.polled.count - 1)
  }

  static let getEvents: SlirpGetREventsCb = { index, opaque in
    guard let network = UserNetwork.network(opaque), network.polled.indices.contains(Int(index)) else {
      return 0
    }
    let seen = network.polled[Int(index)].revents
    return UserNetwork.events.reduce(Int32(0)) { seen & $1.poll != 0 ? $0 | $1.slirp : $0 }
  }

  // MARK: Time

  /// The clock that libslirp goes by, in nanoseconds.
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// - Returns: the timer's name: a number in the guise of a pointer, never followed.
  private func addTimer(_ fire: SlirpTimerCb?, _ argument: UnsafeMutableRawPointer?)
    -> UnsafeMutableRawPointer?
  {
    defer { nextTimer += 1 }
    timers[nextTimer] = SlirpTimer(time: nil, fire: fire, argument: argument)
    return UnsafeMutableRawPointer(bitPattern: nextTimer)
  }

  /// In milliseconds; `max` if none is set.
  var timeToNextTimer: UInt32 {
    let next = timers.values.compactMap(\.time).min()
    return next.map { UInt32(clamping: $0 - Self.now / 1_000_000) } ?? .max
  }

  /// Fires those whose time has come; each may set itself again.
  func fireTimers() {
    guard !timers.isEmpty else { return }
    let now = Self.now / 1_000_000
    for (name, timer) in timers {
      guard let time = timer.time, time <= now else { continue }
      timers[name]?.time = nil
      timer.fire?(timer.argument)
    }
  }
}
