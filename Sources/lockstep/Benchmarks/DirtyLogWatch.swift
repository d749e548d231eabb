// SPDX-License-Identifier: Apache-2.0

import Foundation
import Interfaces
import Machines

/// What it costs to watch a frame buffer of 8 MiB, beside what it costs to compare it with a copy: as many times less.
let dirtyLogBenchmarks = [
  watching("idle", required: 100, writes: 0, limit: 255),
  watching("busy", required: 23, writes: 64, limit: 255),
  watching("frozen", required: 100, writes: 0, limit: 1),
]

/// - Parameters:
///   - writes: frames written between two reports.
///   - limit: quiet reports until write access goes; idle watching stays below it.
private func watching(_ name: String, required: Double, writes: Int, limit: UInt8) -> Benchmark {
  Benchmark(
    name: "dirty-log/\(name)",
    what: "8 MiB of video memory, \(name): processor time a report, against comparing", unit: "times less",
    required: required,
    noted: {
      let watch = FrameBufferWatch(limit: limit)
      let comparing = watch.secondsOfComparing(writes: writes)
      let reporting = watch.secondsOfReporting(writes: writes, isFrozen: name == "frozen")
      func percent(_ seconds: Double) -> String { String(format: "%.4f %%", seconds * 30 * 100) }
      return (
        comparing / reporting,
        "at 30 a second \(percent(reporting)) of a processor against \(percent(comparing))"
      )
    })
}

/// A frame buffer, the entries that map it, and a copy.
private final class FrameBufferWatch {
  private static let frames = 2048
  private static let byteCount = frames * frameSize
  /// Reports that are timed together.
  private static let reports = 200

  private let entries = UnsafeMutablePointer<UInt64>.allocate(capacity: frames)
  private let buffer = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: frameSize)
  private let copy = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: frameSize)
  private let log: OptimisedDirtyLog
  private let limit: UInt8

  init(limit: UInt8) {
    self.limit = limit
    memset(buffer, 0, Self.byteCount)
    memset(copy, 0, Self.byteCount)
    entries.initialize(repeating: 0, count: Self.frames)
    log = OptimisedDirtyLog(
      ShadowEntries(UnsafeMutableRawPointer(entries), count: Self.frames), frames: Self.frames, limit: limit)
    for frame in 0..<Self.frames {
      let word = UInt64(frame + 1) << 12 | EntryBits.present | EntryBits.writable
      log.map(ShadowEntryIndex(UInt32(frame)), word, frame: GuestFrame(UInt64(frame)))
    }
    _ = log.track(.video, 0..<Self.frames)
    _ = log.report(.video, flush: {}, { _ in true })
  }

  deinit {
    entries.deallocate()
    buffer.deallocate()
    copy.deallocate()
  }

  /// Frame after frame is compared with its copy, and copied where it differs: what a device model does without a log.
  func secondsOfComparing(writes: Int) -> Double {
    best { round in
      for frame in 0..<writes {
        buffer.storeBytes(of: UInt64(round + 1), toByteOffset: frame * frameSize, as: UInt64.self)
      }
      for frame in 0..<Self.frames {
        let (new, old) = (buffer + frame * frameSize, copy + frame * frameSize)
        if memcmp(new, old, frameSize) != 0 { memcpy(old, new, frameSize) }
      }
    }
  }

  /// A report is taken, and the frames that are in it copied.
  func secondsOfReporting(writes: Int, isFrozen: Bool) -> Double {
    if isFrozen {
      for _ in 0...Int(limit) + 1 { _ = log.report(.video, flush: {}, { _ in true }) }
      precondition(log.stage == .frozen)
    }
    return best { round in
      for frame in 0..<writes { entries[frame] |= EntryBits.dirty }
      _ = log.report(
        .video, flush: {},
        { report in
          for frame in report.frames where report.contains(GuestFrame(UInt64(frame))) {
            memcpy(copy + frame * frameSize, buffer + frame * frameSize, frameSize)
          }
          return true
        })
      // Idle stays idle, and does not freeze.
      if !isFrozen, writes == 0, round % 100 == 99 { entries[0] |= EntryBits.dirty }
    }
  }

  private func best(_ round: (Int) -> Void) -> Double {
    var best = Double.infinity
    for _ in 0..<5 {
      let time = ContinuousClock().measure { for index in 0..<Self.reports { round(index) } }
      best = min(best, time / .seconds(1) / Double(Self.reports))
    }
    return best
  }
}
