// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What the system says of one of its block devices. Source of the requests' numbers: Linux, include/uapi/linux/fs.h.
struct BlockDeviceTraits {
  /// Whether nobody may write to it.
  var isReadOnly: Bool
  /// What it is addressed in, and what it writes at once, in bytes.
  var logicalSectorSize: Int
  var physicalSectorSize: Int
  /// What it discards at once, in bytes; nil if it discards nothing.
  var discardGranularity: Int?

  /// Nil if the descriptor is no block device's.
  init?(_ descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFBLK else { return nil }
    func ask(_ request: UInt, else other: Int32) -> Int32 {
      var answer: Int32 = 0
      return ioctl(descriptor, request, &answer) == 0 ? answer : other
    }
    isReadOnly = ask(0x125e, else: 0) != 0  // BLKROGET
    logicalSectorSize = Int(ask(0x1268, else: 512))  // BLKSSZGET
    physicalSectorSize = Int(ask(0x127b, else: 512))  // BLKPBSZGET
    // Its number as makedev(3) has it: 12 bits that are the major one, after the lowest 8 of the minor one.
    let number = status.st_rdev
    let device = "/sys/dev/block/\(number >> 8 & 0xfff):\(number & 0xff | number >> 12 & 0xfff00)"
    // A partition's are those of the device that it is on.
    let folder = access("\(device)/queue", F_OK) == 0 ? "\(device)/queue" : "\(device)/../queue"
    let most = Self.number("\(folder)/discard_max_bytes") ?? 0
    discardGranularity = most > 0 ? Self.number("\(folder)/discard_granularity") ?? logicalSectorSize : nil
  }

  private static func number(_ path: String) -> Int? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 32)
    let count = read(descriptor, &text, text.count)
    return Int(String(decoding: text.prefix(max(count, 0)), as: UTF8.self).prefix { $0.isNumber })
  }

  /// Tells a device that the bytes are not needed: what they hold from then on is the device's affair.
  /// - Parameter bytes: whole logical sectors.
  static func discard(_ descriptor: Int32, _ bytes: Range<Int>) -> Bool {
    var range = [UInt64(bytes.lowerBound), UInt64(bytes.count)]
    return ioctl(descriptor, 0x1277, &range) == 0  // BLKDISCARD
  }
}
