// SPDX-License-Identifier: Apache-2.0
//
// A guest's memory, its shadow page tables, and processors that walk them; and the specification, which follows every
// step of all three. A processor's TLB is as bad as it can be: it keeps every entry that it has walked until the stub
// takes it.

import Glibc
import Interfaces
import Logic
import Machines
import Specs

/// A small host of one domain, and its specification.
final class ShadowWorld {
  /// A shadow entry that a processor has taken over.
  struct Cached {
    let address: MachineAddress
    let place: (frame: UInt64, level: Int, slot: UInt64)
    var value: ShadowTableEntry
    var target: MachineFrame
  }
  /// What an access of a processor came to.
  enum Access: Equatable {
    case done(MachineFrame)
    case fault(ShadowOutcome)
  }

  let model: ShadowModel
  let oracle: Oracle
  let tap: ShadowTap
  private(set) var tables: any InspectableShadowTables
  /// Machines with nothing in them, and the specification's state there, by policy: made when they are needed first.
  private var machines: [ShadowPolicy: (tables: any InspectableShadowTables, beginning: Beginning)] = [:]
  var processors: [[Cached]]
  var mmu: AbstractMMU
  private let maker: ShadowMaker
  private let base: UnsafeMutableRawPointer
  private let stub = Stub()
  private let abstraction: ShadowAbstraction
  /// The first difference that a step, or the stub, has come to.
  private(set) var divergence: Divergence?

  private final class Stub: ShadowStub {
    weak var world: ShadowWorld?
    func store(_ downgrades: UnsafeBufferPointer<Downgrade>) { world?.store(downgrades) }
  }

  init(_ model: ShadowModel, _ maker: ShadowMaker) {
    self.model = model
    self.maker = maker
    oracle = Oracle(model.programs)
    abstraction = ShadowAbstraction(model)
    let frames = model.sizes.frames + model.sizes.pages
    base = .allocate(byteCount: frames * frameSize, alignment: frameSize)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: frames * frameSize)
    tap = ShadowTap(base: base, frameCount: model.sizes.frames)
    processors = Array(repeating: [], count: model.sizes.vcpus)
    mmu = AbstractMMU(model.sizes)
    tables = Self.make(maker, model, tap, base, .few, stub)
    stub.world = self
    tap.onStore = { [unowned self] frame, slot, entry in
      if let slot = model.slot(slot) { mmu.write(model.frame(frame), slot, entry) }
    }
    tap.onStep = { [unowned self] step in follow(step) }
  }

  deinit { base.deallocate() }

  private static func make(
    _ maker: ShadowMaker, _ model: ShadowModel, _ tap: ShadowTap, _ base: UnsafeMutableRawPointer,
    _ policy: ShadowPolicy, _ stub: any ShadowStub
  ) -> any InspectableShadowTables {
    let sizes = model.sizes
    return maker.make(
      ShadowMaker.Parts(
        tap: tap,
        pages: ShadowPages(
          base: base + sizes.frames * frameSize, firstFrame: MachineFrame(UInt64(sizes.frames)),
          count: sizes.pages),
        vcpuCount: sizes.vcpus, policy: policy, stub: stub))
  }

  /// Where both sides can begin.
  struct Beginning {
    fileprivate let image: Image
    fileprivate let state: [UInt64]
  }

  var beginning: Beginning { Beginning(image: image, state: oracle.simulator.state) }

  /// Begins anew with the machine of that policy: with empty memory, or where the same machine was.
  func reset(_ policy: ShadowPolicy, to place: Beginning? = nil) {
    tap.meddle = nil
    if let machine = machines[policy] {
      let place = place ?? machine.beginning
      tables = machine.tables
      restore(place.image)
      return oracle.restore(place.state)
    }
    make(policy)
    machines[policy] = (tables, beginning)
  }

  private func make(_ policy: ShadowPolicy) {
    divergence = nil
    for frame in 0..<model.sizes.frames {
      for slot in model.sizes.slots { setEntry(frame, slot, GuestTableEntry(rawValue: 0)) }
    }
    for vcpu in processors.indices { processors[vcpu].removeAll(keepingCapacity: true) }
    mmu = AbstractMMU(model.sizes)
    oracle.reset()
    let isSet = oracle.set(model.policy, to: ShadowModel.policy(policy))
    precondition(isSet, "a policy is one of three")
    tables = Self.make(maker, model, tap, base, policy, stub)
  }

  /// All of it, but for the specification: between operations.
  struct Image {
    fileprivate let tables: ShadowImage
    fileprivate let memory: [GuestTableEntry]
    fileprivate let processors: [[Cached]]
    fileprivate let mmu: AbstractMMU
  }

  var image: Image {
    Image(
      tables: tables.image(of: model.sizes.slots),
      memory: (0..<model.sizes.frames).flatMap { frame in
        model.sizes.slots.map { entry(MachineFrame(UInt64(frame)), $0) }
      }, processors: processors, mmu: mmu)
  }

  func restore(_ image: Image) {
    tables.restore(image.tables)
    for (index, entry) in image.memory.enumerated() {
      setEntry(index / model.slots, model.sizes.slots[index % model.slots], entry)
    }
    (processors, mmu, divergence) = (image.processors, image.mmu, nil)
  }

  // MARK: Memory

  func entry(_ frame: MachineFrame, _ slot: Int) -> GuestTableEntry {
    GuestTableEntry(
      rawValue: (base + Int(frame.rawValue) * frameSize + slot * 8).load(as: UInt64.self))
  }
  func setEntry(_ frame: Int, _ slot: Int, _ entry: GuestTableEntry) {
    (base + frame * frameSize + slot * 8).storeBytes(of: entry.rawValue, as: UInt64.self)
  }

  // MARK: Following

  /// Takes a step of the specification, unless something is wrong already.
  private func take(_ action: Int, _ arguments: [UInt64]) {
    guard divergence == nil else { return }
    do throws(Divergence) {
      try oracle.take(action, arguments)
    } catch {
      divergence = error
    }
  }

  func complain(at step: String, _ reason: String) {
    if divergence == nil { divergence = oracle.divergence(at: step, reason) }
  }

  private func follow(_ step: ShadowStep) {
    guard let (action, arguments) = model.translated(step) else {
      return complain(at: "\(step)", "a slot that was empty always")
    }
    take(action, arguments)
    switch step {
    case .load(let vcpu, _), .flush(let vcpu): mmu.flush(vcpu)
    case .invalidate(let vcpu, let table, let slot):
      if let slot = model.slot(slot) { mmu.flush(vcpu, model.frame(table), slot) }
    default: break
    }
  }

  /// The stub: memory, and what processors have of it.
  private func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {
    let pool =
      UInt64(
        model.sizes.frames * frameSize)..<UInt64(
        (model.sizes.frames + model.sizes.pages) * frameSize)
    for downgrade in downgrades {
      guard pool.contains(downgrade.address.rawValue) else {
        return complain(at: "a store of the stub", "it is not to a shadow")
      }
      (base + Int(downgrade.address.rawValue)).storeBytes(of: downgrade.value.rawValue, as: UInt64.self)
      for vcpu in processors.indices {
        processors[vcpu].removeAll { $0.address == downgrade.address }
      }
    }
  }

  // MARK: Comparing

  /// Compares both sides, between operations: all that the specification knows.
  func compare() throws(Divergence) {
    if let divergence { throw divergence }
    let registers = oracle.simulator.registers
    let found = abstraction.state(of: self, policy: registers[model.policy])
    guard let first = found.baseAddress, memcmp(first, registers, found.count * 8) != 0 else { return }
    for register in found.indices where found[register] != registers[register] {
      let layout = model.programs.layout
      let (component, keys) = layout.owner(of: register)
      let declared = layout.specification.components[component]
      let names = zip(declared.keys, keys).map { $0.describe($1) }.joined(separator: ", ")
      throw oracle.divergence(
        at: "\(declared.name)[\(names)]",
        "it is \(declared.sort.describe(found[register])), it should be "
          + declared.sort.describe(registers[register]))
    }
  }

  /// Compares the machine's own books too, and what processors have with what they were offered.
  func compareThoroughly() throws(Divergence) {
    try compare()
    if let imbalance = tables.imbalance(of: model.sizes.slots) {
      throw oracle.divergence(at: "the shadow's books", imbalance)
    }
    if hasStrayEntry { throw oracle.divergence(at: "a shadow", "a slot that is not used has an entry") }
    for vcpu in processors.indices { for entry in processors[vcpu] { try check(entry, vcpu) } }
  }

  /// Whether something lies in the shadows, beside the slots that are used.
  private var hasStrayEntry: Bool {
    let words = (base + model.sizes.frames * frameSize).assumingMemoryBound(to: UInt64.self)
    for page in 0..<model.sizes.pages {
      var first = 0
      for slot in model.sizes.slots + [PagingLimits.slotCount] {
        let rest = words + page * PagingLimits.slotCount + first
        var all: UInt64 = 0
        for index in 0..<slot - first { all |= rest[index] }
        if all != 0 { return true }
        first = slot + 1
      }
    }
    return false
  }

  /// The abstract MMU: a processor uses what the guest's entry has offered since it was flushed; and what the processor
  /// would have to write to the shadow is there.
  func check(_ used: Cached, _ vcpu: Int) throws(Divergence) {
    let (frame, level, slot) = used.place
    if !mmu.offers(used.value, used.target, to: vcpu, frame: frame, level: level, slot: slot) {
      throw oracle.divergence(
        at: "entry \(slot) of table \(frame) at level \(level)",
        "processor \(vcpu) uses what it was never offered since its flush")
    }
    let needed = EntryBits.accessed | (level == 0 && used.value.isWritable ? EntryBits.dirty : 0)
    if !used.value.has(needed) {
      throw oracle.divergence(
        at: "entry \(slot) of table \(frame) at level \(level)", "a processor would have to mark it")
    }
  }

  // MARK: Processors

  /// Walks the shadow as a processor does: from what it has, or, with `refills`, from memory.
  /// - Returns: where the walk ended, at level 0; nil for a fault.
  func walk(_ address: VirtualAddress, _ error: PageFault, _ vcpu: Int, refills: Bool) throws(Divergence)
    -> Cached?
  {
    guard var page = tables.root(of: vcpu), var table = tables.loadedTable(of: vcpu) else { return nil }
    var last: Cached?
    for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
      let slot = address.slot(at: level)
      let place = MachineAddress(page.address.rawValue + UInt64(slot) * 8)
      var index = processors[vcpu].firstIndex { $0.address == place }
      if refills || index == nil {
        guard let entry = tables.inspect(table, level: level, slot: slot), entry.value.isPresent,
          let s = model.slot(slot)
        else { return nil }
        take(model.actions.fill, [UInt64(vcpu), model.frame(table), UInt64(level), s])
        let filled = Cached(
          address: place, place: (model.frame(table), level, s), value: entry.value, target: entry.target)
        if let index { processors[vcpu][index] = filled } else { processors[vcpu].append(filled) }
        index = index ?? processors[vcpu].count - 1
      }
      guard let index else { return nil }
      let used = processors[vcpu][index]
      try check(used, vcpu)
      if error.contains(.write), !used.value.isWritable { return nil }
      if error.contains(.user), !used.value.has(EntryBits.user) { return nil }
      if error.contains(.fetch), used.value.has(EntryBits.noExecute) { return nil }
      (page, table, last) = (used.value.frame, used.target, used)
    }
    return last
  }

  /// A guest's store through an entry that its processor has.
  func storeByGuest(_ entry: GuestTableEntry, _ slot: UInt64, through way: Cached, _ vcpu: Int) {
    let target = model.frame(way.target)
    guard Int(target) < model.sizes.frames else {
      return complain(at: "a store", "it reaches a frame that is not the domain's")
    }
    take(
      model.actions.storeByGuest,
      [UInt64(vcpu), way.place.frame, way.place.slot, slot] + model.arguments(entry))
    setEntry(Int(target), model.sizes.slots[Int(slot)], entry)
    mmu.write(target, slot, entry)
  }

  /// A processor's store of an entry to a page, or its load or fetch if `entry` is nil; with all faults that it takes.
  /// - Parameter expectsProgress: whether nobody meddles.
  func access(
    _ address: VirtualAddress, _ error: PageFault, store entry: GuestTableEntry?, vcpu: Int,
    expectsProgress: Bool
  ) throws(Divergence) -> Access {
    for _ in 0..<12 {
      var way = try walk(address, error, vcpu, refills: false)
      if way == nil { way = try walk(address, error, vcpu, refills: true) }
      if let way {
        if let entry, let slot = model.slot(Int(address.rawValue & 0xfff) / 8) {
          storeByGuest(entry, slot, through: way, vcpu)
        }
        return .done(way.target)
      }
      let verdict = verdict(address, error, vcpu)
      let outcome = tables.fault(at: address, error, on: vcpu)
      if expectsProgress { try check(outcome, verdict) }
      switch outcome {
      case .resume: continue
      case .emulate(let table, let slot):
        guard let entry else { throw oracle.divergence(at: "a fault", "nothing is stored") }
        _ = try write(entry, to: table, slot: slot)
        return .done(table)
      default: return .fault(outcome)
      }
    }
    if expectsProgress { throw oracle.divergence(at: "\(address)", "twelve faults, and no access") }
    return .fault(.resume)
  }
}
