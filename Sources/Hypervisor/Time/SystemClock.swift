// SPDX-License-Identifier: Apache-2.0

import Glibc
import KVM

/// A domain's time: nanoseconds since it was made, computed from the time-stamp counter exactly as the guest does.
/// Source: xen/include/public/xen.h, `struct vcpu_time_info`.
struct SystemClock: Sendable {
  /// The host's counter at time 0.
  let origin: UInt64
  let multiplier: UInt32
  let shift: Int8

  /// - Parameter kilohertz: the counter's rate.
  init(kilohertz: UInt64, origin: UInt64 = hostTimeStamp()) {
    self.origin = origin
    var rate = Double(max(kilohertz, 1)) * 1000
    var shift: Int8 = 0
    while rate > 2e9 {
      rate /= 2
      shift -= 1
    }
    while rate <= 1e9 {
      rate *= 2
      shift += 1
    }
    self.shift = shift
    multiplier = UInt32(clamping: Int64(1e9 / rate * 4_294_967_296))
  }

  /// The time at a value of the host's counter.
  func nanoseconds(at counter: UInt64) -> UInt64 {
    let ticks = counter > origin ? counter - origin : 0
    let scaled = shift < 0 ? ticks >> UInt64(-shift) : ticks << UInt64(shift)
    let product = scaled.multipliedFullWidth(by: UInt64(multiplier))
    return product.high << 32 | product.low >> 32
  }

  var now: UInt64 { nanoseconds(at: hostTimeStamp()) }

  /// Publishes the time to a guest: its counter is the host's plus `offset`.
  func publish(to info: ProcessorInfo, offset: UInt64) { publish(at: info.time, offset: offset) }

  /// Writes a `vcpu_time_info`. The version is odd while it changes.
  func publish(at time: UnsafeMutableRawPointer, offset: UInt64) {
    let version = time.assumingMemoryBound(to: UInt32.self)
    let before = version.pointee & ~1
    version.storeShared(before &+ 1)
    (time + 8).assumingMemoryBound(to: UInt64.self).storeShared(origin &+ offset)
    (time + 16).assumingMemoryBound(to: UInt64.self).storeShared(0)
    (time + 24).assumingMemoryBound(to: UInt32.self).storeShared(multiplier)
    let timeStampStable: UInt32 = 1 << 8
    (time + 28).assumingMemoryBound(to: UInt32.self)
      .storeShared(UInt32(UInt8(bitPattern: shift)) | timeStampStable)
    version.storeShared(before &+ 2)
  }

  /// The wall-clock time of time 0.
  var wallClockOrigin: (seconds: UInt64, nanoseconds: UInt32) {
    var real = timespec()
    clock_gettime(CLOCK_REALTIME, &real)
    let total = UInt64(real.tv_sec) * 1_000_000_000 + UInt64(real.tv_nsec)
    let origin = total - min(now, total)
    return (origin / 1_000_000_000, UInt32(origin % 1_000_000_000))
  }
}
