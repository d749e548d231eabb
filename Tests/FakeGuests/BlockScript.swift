// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Xenstore

@testable import Devices

/// What a guest without sense does to one of its disks, read from bytes: to the ring, the pages, the grants and the store,
/// and that also while the back end works. What must hold whatever it is: each request is answered once and as the ABI has
/// it, done or refused as a whole; no byte changes but those that a request names, in pages that were granted for it;
/// nothing is mapped but the ring, and not even that once they are disconnected; and the back end comes back.
///
/// Frame 0 is the grant table, 2 and 3 are for rings. From 4 on frames are granted under their own numbers: up to 39 for
/// writing, up to 47 for reading; those up to 55 are not granted, and the rest is another domain's.
public final class BlockScript {
  private let guest = FakeGuest(foreignFrames: 8)
  private let contents: BlockContents
  private let witness: BlockWitness
  private let store = HostStore(Store())
  private let paths = DevicePaths(kind: "vbd", domain: FakeGuest.domain, number: 51712)
  private let port = FakePort()
  private let queue: ScriptedQueue
  private let device: BlockDevice
  private var isOver = false
  /// The guest's side of the ring.
  private var ringFrame = 2
  private var producer: UInt32 = 0
  /// What the guest does later, while the back end works: after so many opportunities.
  private var armed: [(delay: Int, bytes: [UInt8])] = []
  /// Whether it puts the next request whenever it can.
  private var isEager = false

  private let isPersistent: Bool
  /// Fewer than there are frames.
  private static let persistentLimit = 24

  /// 256 of them are the most that one request moves at the least.
  private static let sectorCount = 272

  /// What is put around the guest's grants, its ring and its disk, such as a bug that must be found.
  public struct Surroundings: Sendable {
    public var grants: @Sendable (any GrantAccess) -> any GrantAccess = { $0 }
    public var queue: @Sendable (any BlockQueue) -> any BlockQueue = { $0 }
    public var ring: @Sendable (any BackRing, _ page: UnsafeMutableRawPointer) -> any BackRing = { ring, _ in
      ring
    }
    /// Told of each answer: the operation, how it was asked for, and the status.
    public var answered: @Sendable (String) -> Void = { _ in }

    public init() {}
  }

  /// - Parameter kind: bit 0 for a disk that may only be read, bit 1 for one that does not discard, bit 2 for one that does
  ///   what it is asked for only when the script says so, bit 3 for a guest that uses its pages over and over.
  private init(_ kind: UInt8, _ surroundings: Surroundings) throws {
    for frame in 2..<FakeGuest.frameCount {
      guest.page(frame).initializeMemory(as: UInt8.self, repeating: UInt8(0x80 + frame))
    }
    for frame in 2..<48 { guest.grant(frame, readOnly: frame >= 40) }
    contents = BlockContents(guest, sectorCount: Self.sectorCount)
    let image = try DiskImage(
      path: contents.disk.path, readOnly: kind & 1 != 0, discard: kind & 2 == 0)
    BlockDevice.describe(image, name: "xvda", number: 51712, paths, in: store)
    let disk = ExpectedBlockRequest.Disk(
      sectors: image.sectorCount, isReadOnly: image.isReadOnly, canDiscard: image.canDiscard)
    let witness = BlockWitness(contents, disk, HostGrants(guest, of: FakeGuest.domain))
    self.witness = witness
    witness.answered = surroundings.answered
    let port = port
    let bus = DeviceBus(
      grants: surroundings.grants(witness),
      makeRing: { page, slotCount, slotSize in
        let inner = OptimisedMachinery().makeBackRing(page: page, slotCount: slotCount, slotSize: slotSize)
        let ring = WitnessedRing(inner, page: page, witness)
        witness.ring = ring
        return surroundings.ring(ring, page)
      },
      bind: { port.bind($0, witness) })
    queue = ScriptedQueue(image, witness)
    queue.isSlow = kind & 4 != 0
    isPersistent = kind & 8 != 0
    device = BlockDevice(
      surroundings.queue(queue), paths, store, bus, persistentLimit: Self.persistentLimit)
    witness.persistentLimit = isPersistent ? Self.persistentLimit : nil
    witness.kept = { [unowned self] in device.keptPage($0) }
    witness.meddle = { [unowned self] in meddle() }
  }

  /// Does what the bytes say: the first is the kind of disk.
  /// - Returns: what does not hold; nil if all does.
  public static func run(
    _ bytes: UnsafeBufferPointer<UInt8>, _ surroundings: Surroundings = Surroundings()
  ) throws -> String? {
    var reader = ScriptReader(bytes)
    let script = try BlockScript(reader.byte(), surroundings)
    script.connect(frame: 2)
    while !script.isOver, script.witness.complaint == nil, let operation = reader.next() {
      script.perform(operation, &reader)
    }
    script.end()
    return script.witness.complaint
  }

  // MARK: What the guest does

  private func perform(_ operation: UInt8, _ reader: inout ScriptReader) {
    switch operation & 0xf {
    case 0: putTransfer(&reader)
    case 1: put(reader.take(Int(reader.byte())))
    case 2: putIndirect(&reader)
    case 3: putDiscard(&reader)
    case 4:
      publish()
      work()
    case 5:
      // The disk has done one of the things that it was asked for.
      if operation >= 16 { queue.finish(Int(operation >> 4) - 1) }
      work()
    case 6: enter(&reader)
    case 7: connect(frame: 2 + Int(reader.byte() & 1))
    case 8: arm(&reader)
    // The host takes the disk away.
    case 9: end()
    default: perturb(operation & 0xf, &reader)
    }
  }

  /// What a guest can also do while the back end works.
  private func perturb(_ operation: UInt8, _ reader: inout ScriptReader) {
    switch operation {
    case 10: changeGrant(&reader)
    case 11:
      // One of the four indices: near its value, or anything.
      let index = 4 * Int(reader.byte() & 3)
      let value = UInt32(reader.word()) | UInt32(reader.word()) << 16
      let old = guest.page(ringFrame).load(fromByteOffset: index, as: UInt32.self)
      let isNear = value >> 31 == 0
      write(isNear ? old &+ (value & 0x7f) &- 0x3f : value, to: ringFrame, at: index)
    case 12:
      let frame = Int(reader.byte())
      let offset = Int(reader.word()) & 0xfff
      writeOwn(reader.take(Int(reader.byte()) & 0x7f), to: frame, at: offset)
    case 13:
      // A slot that was put before.
      let index = producer &- UInt32(reader.byte() & 0x1f)
      contents.write(reader.take(Int(reader.byte()) & 0x7f), to: ringFrame, at: slotOffset(index))
    case 14:
      isEager = true
    default:
      enterState(reader.byte())
    }
  }

  private func meddle() {
    if isEager {
      // Beyond what a back end may serve in one turn it has been found out.
      if witness.complaint == nil { publish(1) }
    }
    for index in armed.indices { armed[index].delay -= 1 }
    guard let due = armed.firstIndex(where: { $0.delay < 0 }) else { return }
    let bytes = armed.remove(at: due).bytes
    bytes.withUnsafeBufferPointer {
      var reader = ScriptReader($0)
      while let operation = reader.next() {
        if operation >= 0xe0 {
          queue.finish(Int(operation & 0x1f))
        } else {
          perturb(10 + operation % 6, &reader)
        }
      }
    }
  }

  private func arm(_ reader: inout ScriptReader) {
    let delay = Int(reader.byte() & 0x3f)
    armed.append((delay, reader.take(Int(reader.byte()) & 0x3f)))
  }

  private func write(_ value: UInt32, to frame: Int, at offset: Int) {
    contents.write(withUnsafeBytes(of: value.littleEndian) { Array($0) }, to: frame, at: offset)
  }

  /// Writes a frame of the guest's own, the grant table too.
  private func writeOwn(_ bytes: [UInt8], to frame: Int, at offset: Int) {
    contents.write(bytes, to: frame % 56, at: offset)
  }

  private func slotOffset(_ index: UInt32) -> Int { 64 + 112 * Int(index & 31) }

  private func put(_ slot: [UInt8]) {
    contents.write(Array(slot.prefix(112)), to: ringFrame, at: slotOffset(producer))
    producer &+= 1
  }

  private func publish(_ more: UInt32 = 0) {
    producer &+= more
    write(producer, to: ringFrame, at: RingWord.requestProducer.rawValue)
  }

  /// The first bytes of a slot, and room for the rest; the identifier is the guest's count.
  private func head(_ operation: UInt8, _ count: UInt8, sector: UInt64) -> [UInt8] {
    var slot = [UInt8](repeating: 0, count: 112)
    slot[0] = operation
    slot[1] = count
    slot.withUnsafeMutableBytes {
      $0.storeBytes(of: UInt64(producer) | 0x7700_0000_0000, toByteOffset: 8, as: UInt64.self)
      $0.storeBytes(of: sector, toByteOffset: 16, as: UInt64.self)
    }
    return slot
  }

  /// Mostly a place on the disk or shortly behind it; from 0xff00 on, near 2⁶⁴.
  private func sector(_ word: UInt16) -> UInt64 {
    word >= 0xff00 ? UInt64.max - UInt64(word & 0xff) : UInt64(word % 288)
  }

  private func putTransfer(_ reader: inout ScriptReader) {
    let operation = reader.byte() & 7
    let count = reader.byte() & 0xf
    var slot = head(operation, count, sector: sector(reader.word()))
    for index in 0..<Int(min(count, 11)) {
      slot[24 + 8 * index] = reader.byte()
      let sectors = reader.byte()
      slot[28 + 8 * index] = sectors & 0xf
      slot[29 + 8 * index] = sectors >> 4
    }
    put(slot)
  }

  /// One whose segments follow a rule, so that a few bytes make many.
  private func putIndirect(_ reader: inout ScriptReader) {
    var slot = head(6, reader.byte() & 7, sector: sector(reader.word()))
    let count = reader.word() & 0x1ff
    let page = reader.byte()
    let (first, step, sectors) = (reader.byte(), reader.byte(), reader.byte())
    slot.withUnsafeMutableBytes {
      $0.storeBytes(of: count, toByteOffset: 2, as: UInt16.self)
      $0.storeBytes(of: UInt32(page), toByteOffset: 28, as: UInt32.self)
    }
    let words = (0..<Int(count)).flatMap { (index: Int) -> [UInt8] in
      [first &+ UInt8(truncatingIfNeeded: index / 8) &* step, 0, 0, 0, sectors & 7, sectors >> 4, 0, 0]
    }
    writeOwn(words, to: Int(page), at: 0)
    put(slot)
  }

  private func putDiscard(_ reader: inout ScriptReader) {
    var slot = head(5, reader.byte() & 3, sector: sector(reader.word()))
    let count = sector(reader.word())
    slot.withUnsafeMutableBytes { $0.storeBytes(of: count, toByteOffset: 24, as: UInt64.self) }
    put(slot)
  }

  /// An entry of any content: an unusual domain, frames that are another's or that are not there.
  private func changeGrant(_ reader: inout ScriptReader) {
    let reference = Int(reader.byte() & 0x7f)
    let frame = reader.byte()
    let kind = reader.byte()
    let flags = UInt32(kind & 7)
    write(frame < 192 ? UInt32(frame & 63) : UInt32(frame) << 24, to: 0, at: 8 * reference + 4)
    write(flags | (kind >> 6 == 3 ? 2 : 0) << 16, to: 0, at: 8 * reference)
  }

  // MARK: The store

  private func enterState(_ number: UInt8) {
    store.write(paths.frontEnd / "state", ["0", "1", "2", "3", "4", "5", "6", "x"][Int(number & 7)])
  }

  private func enter(_ reader: inout ScriptReader) {
    let details = reader.byte()
    if details & 8 != 0 { store.write(paths.frontEnd / "ring-ref", reader.byte()) }
    if details & 16 != 0 { store.write(paths.frontEnd / "event-channel", 5 + (reader.byte() & 1)) }
    if details & 32 != 0 { store.remove(paths.frontEnd) }
    enterState(details)
    work()
  }

  /// As a guest with sense connects.
  private func connect(frame: Int) {
    enterState(6)
    work()
    enterState(1)
    work()
    ringFrame = frame
    producer = 0
    isEager = false
    contents.write([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], to: frame, at: 0)
    let nodes = [
      ("ring-ref", "\(frame)"), ("event-channel", "5"), ("protocol", "x86_64-abi"),
      ("feature-persistent", isPersistent ? "1" : "0"),
    ]
    for (name, value) in nodes { store.write(paths.frontEnd / name, value) }
    enterState(3)
    work()
  }

  // MARK: What must hold

  private func work() {
    guard !isOver else { return }
    witness.beginTurn()
    var hasMore = false
    do throws(RingError) {
      hasMore = try device.work()
    } catch {
      // The domain is crashed.
      return end()
    }
    let isConnected = store.read(paths.backEnd / "state") == "4"
    if !isConnected { return checkDisconnected() }
    if let ring = witness.ring {
      if !hasMore && !ring.isQuiet && !witness.isHolding {
        witness.complain("the back end sleeps, and did not ask for an event")
      }
      if ring.owesEvent { witness.complain("an event is missing") }
    }
    witness.endTurn(isIdle: !hasMore && queue.isIdle)
  }

  private func checkDisconnected() {
    witness.forget()
    if !guest.mappedFrames.isEmpty { witness.complain("frames \(guest.mappedFrames) are still mapped") }
    if port.isBound { witness.complain("the event channel is still bound") }
  }

  private func end() {
    isOver = true
    device.disconnect()
    checkDisconnected()
    if let difference = contents.difference() { witness.complain(difference) }
  }
}
