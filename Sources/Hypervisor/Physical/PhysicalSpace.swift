// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// A PVH guest's side: it numbers its memory itself, from 0 on, and the processor translates what its own page tables
/// give once more.
///
/// What it reaches is what is mapped in a window of this process, the memory of its virtual machine: frames of the
/// domain's own, and nothing else. A frame leaves the window before it leaves the domain.
final class PhysicalSpace: GuestSpace {
  let frames: DomainFrames
  let machine: VirtualMachine
  /// The frame behind each of the guest's.
  let map: PhysicalToMachine
  private let window: MemoryWindow
  /// What the guest asks for with `HVMOP_get_param`, by number.
  var parameters: [UInt32: UInt64] = [:]
  /// The pieces that the window is mapped in, at most: the system has a limit for the whole process.
  private var pieces = PieceCount(limit: 16384)

  init(_ frames: DomainFrames, initial: [MachineFrame], on host: Host) throws(HostError) {
    guard initial.count <= GuestRegions.largestMemory else {
      throw .badConfiguration("a PVH domain has at most memory = \(GuestRegions.largestMemory >> 8)")
    }
    self.frames = frames
    let regions = GuestRegions(memory: initial.count)
    map = PhysicalToMachine(regions)
    do throws(KVMError) {
      window = try MemoryWindow(on: host.memory.file, pageCount: regions.count)
      let border = regions.lowCount * frameSize
      machine = try VirtualMachine(
        host.system, memory: window,
        slots: [
          .init(guestAddress: 0, bytes: 0..<border),
          .init(
            guestAddress: GuestRegions.highBegin.rawValue << 12, bytes: border..<regions.count * frameSize),
        ])
      try machine.addLocalAPICs()
      try machine.interceptXenHypercalls(pageRegister: Identification.hypercallPageRegister)
    } catch { throw .kvm(error) }
    try mapInitial(initial)
    host.memory.setNames(map, of: frames.domain)
  }

  deinit { frames.memory.setNames(nil, of: frames.domain) }

  /// Maps the memory that the domain is made with, in as few pieces as there are.
  private func mapInitial(_ initial: [MachineFrame]) throws(HostError) {
    var start = 0
    while start < initial.count {
      var end = start + 1
      while end < initial.count, initial[end].rawValue == initial[end - 1].rawValue + 1 { end += 1 }
      guard window.map(start..<end, to: Int(initial[start].rawValue)) else {
        throw .kvm(.failed(operation: "mapping a domain's memory", errno: 0))
      }
      start = end
    }
    for (index, frame) in initial.enumerated() { map[GuestFrame(UInt64(index))] = frame }
  }

  func makeProcessor(_ domain: Domain, index: Int) throws(HostError) -> Processor {
    try PhysicalProcessor(domain, space: self, index: index)
  }

  func begin(_ processor: Processor, _ initial: FirstState) throws(HostError) {
    guard let processor = processor as? PhysicalProcessor, case .physical(let initial) = initial else {
      throw .badConfiguration("a PVH domain begins without page tables")
    }
    parameters = [
      HardwareMachineParameter.storeFrame: initial.storeFrame.rawValue,
      HardwareMachineParameter.storePort: UInt64(initial.storePort.rawValue),
      HardwareMachineParameter.consoleFrame: initial.consoleFrame.rawValue,
      HardwareMachineParameter.consolePort: UInt64(initial.consolePort.rawValue),
    ]
    do throws(KVMError) { try processor.begin(initial) } catch { throw .kvm(error) }
    // The others wait in their interrupt controllers until the guest starts them.
    for processor in processor.domain.processors {
      processor.wasInitialised = true
      processor.isUp.store(true, ordering: .sequentiallyConsistent)
    }
  }

  /// The guest asks for its shared page and grant table where it wants them.
  func arrive(_ frame: MachineFrame) {}

  func machineFrame(named number: UInt64) -> MachineFrame? { map[GuestFrame(number)] }

  func number(of frame: GuestFrame, _ machine: MachineFrame) -> UInt64 { frame.rawValue }

  /// It has a way to wait without an exit, and needs no other.
  func expectPolling(of frame: PolledFrame) {}

  // MARK: Frames come and go

  func populate(_ count: Int, at number: UInt64?) throws(HypercallError) -> UInt64? {
    guard let number, number < 1 << 40 else { throw .invalid }
    let places = (number..<number + UInt64(count)).map { GuestFrame($0) }
    guard places.allSatisfy({ map.regions.index(of: $0) != nil && map[$0] == nil }) else { throw .invalid }
    guard let first = frames.memory.allocate(contiguous: count, for: frames.domain) else { throw .noMemory }
    for (offset, place) in places.enumerated() {
      let frame = MachineFrame(first.rawValue + UInt64(offset))
      if show(frame, at: place) { continue }
      for place in places.prefix(offset) { _ = hide(place) }
      for offset in 0..<UInt64(count) {
        _ = frames.memory.free(MachineFrame(first.rawValue + offset), ownedBy: frames.domain)
      }
      throw .noMemory
    }
    return nil
  }

  func giveBack(_ number: UInt64) throws(HypercallError) {
    let place = GuestFrame(number)
    guard let frame = map[place], frames.owns(frame), frames.memory.isUnused(frame) else { throw .invalid }
    guard hide(place) else { throw .noMemory }
    guard frames.memory.free(frame, ownedBy: frames.domain) else {
      guard show(frame, at: place) else { throw .noMemory }
      throw .invalid
    }
  }

  /// Shows the guest a frame of the domain's own, which is no part of its memory, at a place of its choice: nowhere else from
  /// then on. What was there is hidden; the caller has given it back if it was memory.
  func place(_ frame: MachineFrame, at place: GuestFrame) throws(HypercallError) {
    guard map.regions.index(of: place) != nil else { throw .invalid }
    if let before = places[frame], map[before] == frame, before != place {
      guard hide(before) else { throw .noMemory }
    }
    guard show(frame, at: place) else { throw .noMemory }
    places[frame] = place
  }

  /// Hides what stands at a place if it is no part of the guest's memory.
  func remove(_ place: GuestFrame) throws(HypercallError) {
    guard let frame = map[place], places[frame] == place else { throw .invalid }
    guard hide(place) else { throw .noMemory }
    places[frame] = nil
  }

  /// Whether what stands at a place is memory, and not a frame that was put there beside it.
  func isMemory(_ place: GuestFrame) -> Bool { map[place].map { places[$0] != place } ?? false }

  /// Where frames beside the memory stand.
  private var places: [MachineFrame: GuestFrame] = [:]

  private func show(_ frame: MachineFrame, at place: GuestFrame) -> Bool {
    change(place, to: frame) { window.map($0..<$0 + 1, to: Int(frame.rawValue)) }
  }

  private func hide(_ place: GuestFrame) -> Bool { change(place, to: nil) { window.unmap($0) } }

  /// Changes what stands at a place, if the window stays in few enough pieces.
  private func change(_ place: GuestFrame, to frame: MachineFrame?, _ body: (Int) -> Bool) -> Bool {
    func neighbour(_ offset: Int64) -> MachineFrame? {
      map[GuestFrame(UInt64(bitPattern: Int64(place.rawValue) + offset))]
    }
    let (before, after) = (neighbour(-1), neighbour(1))
    let more = pieces.added(changing: map[place], to: frame, between: before, and: after)
    guard let index = map.regions.index(of: place), pieces.mayGrow(by: more), body(index) else {
      return false
    }
    pieces.count += more
    map[place] = frame
    return true
  }
}
