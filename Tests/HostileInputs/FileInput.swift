// SPDX-License-Identifier: Apache-2.0

import Interfaces

@testable import Toolstack

/// A file that is not what its user takes it for, read as a kernel and as a configuration, and what must hold whatever it
/// is: a domain that can be built of it has page tables that lead to its own memory only and that it cannot write, and
/// its memory holds what the file says; a configuration's numbers are within their ranges, and a problem's place lies in
/// the file.
///
/// A packed kernel is left packed: other programs unpack it, in processes of their own.
public enum FileInput {
  /// Frames of the domain that is built: 8 MiB.
  private static let frameCount = 2048
  /// Frames of one that is only planned: 1 GiB.
  private static let plannedFrames: UInt64 = 1 << 18
  private static let ramdisk = [UInt8](repeating: 0x5a, count: 5000)

  /// - Parameter tamper: changes the domain's memory before it is looked at, for alarms to ring.
  /// - Returns: what does not hold; nil if all does.
  public static func run(
    _ input: UnsafeBufferPointer<UInt8>, tamper: (UnsafeMutableRawBufferPointer) -> Void = { _ in }
  ) -> String? {
    let bytes = Array(input)
    return configuration(bytes) ?? kernel(bytes, tamper)
  }

  // MARK: configurations

  private static func configuration(_ bytes: [UInt8]) -> String? {
    do throws(ConfigurationProblem) {
      let (found, warnings) = try GuestConfiguration.parse(bytes, file: "guest.cfg")
      guard GuestConfiguration.memoryRange.contains(found.memory),
        GuestConfiguration.vcpusRange.contains(found.vcpus), !found.name.isEmpty
      else { return "a configuration is out of range" }
      guard Set(found.disks.map(\.device.number)).count == found.disks.count else {
        return "two disks have one number"
      }
      return warnings.allSatisfy { lies($0, in: bytes) } ? nil : "a warning has no place in the file"
    } catch {
      return lies(error, in: bytes) ? nil : "a problem has no place in the file"
    }
  }

  private static func lies(_ problem: ConfigurationProblem, in bytes: [UInt8]) -> Bool {
    guard let place = problem.position else { return true }
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    return (1...lines.count).contains(place.line)
      && (1...(lines[place.line - 1].count + 1)).contains(place.column)
  }

  // MARK: kernels

  private static func kernel(_ bytes: [UInt8], _ tamper: (UnsafeMutableRawBufferPointer) -> Void) -> String? {
    guard CompressedImage.program(for: bytes) == nil,
      let unpacked = try? CompressedImage.unpack(bytes, limit: bytes.count),
      let image = try? KernelImage(unpacked)
    else { return nil }
    _ = try? DomainBuilder(image: image, ramdisk: ramdisk, commandLine: "", frameCount: plannedFrames)
    guard
      let builder = try? DomainBuilder(
        image: image, ramdisk: ramdisk, commandLine: "quiet", frameCount: UInt64(frameCount))
    else { return nil }
    let machine = FakeMachine(count: frameCount)
    let memory = GuestMemory(frames: machine.frames, memory: machine)
    guard
      let state = try? builder.build(
        in: memory,
        .init(sharedInfo: MachineAddress(0x123000), storePort: EventPort(1), consolePort: EventPort(2)))
    else { return "a planned domain cannot be built" }
    tamper(machine.all)
    if let page = builder.hypercallFrame, page.rawValue >= UInt64(frameCount) {
      return "the hypercall page lies outside of the domain"
    }
    return TableWalk.complaint(of: machine, root: state.root) ?? content(of: image, unpacked, in: memory)
  }

  /// The segment that is written last stands in memory as in the file.
  private static func content(of image: KernelImage, _ file: [UInt8], in memory: GuestMemory) -> String? {
    guard let segment = image.segments.last else { return nil }
    for (index, byte) in file[segment.content].enumerated() {
      let place = segment.offset + UInt64(index)
      guard memory.page(GuestFrame(place >> 12))[Int(place & 0xfff)] == byte else {
        return "memory does not hold what the file says"
      }
    }
    return nil
  }
}

/// A new domain's page tables, as its processor walks them.
private struct TableWalk {
  let machine: FakeMachine
  var tables: Set<UInt64> = []
  var writable: Set<UInt64> = []
  var complaint: String?

  static func complaint(of machine: FakeMachine, root: MachineFrame) -> String? {
    var walk = TableWalk(machine: machine)
    walk.visit(root, level: 4)
    if walk.complaint == nil, !walk.tables.isDisjoint(with: walk.writable) {
      return "a page table is mapped for writing"
    }
    return walk.complaint
  }

  private mutating func visit(_ table: MachineFrame, level: Int) {
    guard complaint == nil, let page = machine.bytes(of: table) else {
      complaint = "an entry leads out of the domain"
      return
    }
    tables.insert(table.rawValue)
    for index in 0..<512 {
      let entry = page.load(fromByteOffset: index * 8, as: UInt64.self)
      guard entry & EntryFlags.present.rawValue != 0 else { continue }
      let frame = MachineFrame(entry >> 12)
      if level > 1 {
        visit(frame, level: level - 1)
      } else if machine.bytes(of: frame) == nil {
        complaint = "an entry leads out of the domain"
      } else if entry & EntryFlags.writable.rawValue != 0 {
        writable.insert(frame.rawValue)
      }
      if complaint != nil { return }
    }
  }
}
