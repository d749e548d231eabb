// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// A small host: the memory that domains share, and event channels.
///
/// The model's first domains are the ones that may be there; each shares a page, in which a vCPU's words can lie at either
/// of two places.
final class EventsWorld {
  let model: EventsModel
  /// By name.
  let ids: [DomainID]
  let vcpus: Int
  let tap = EventTap()
  let ports: any InspectableEventPorts
  let recipient = Nobody()
  private let memory: UnsafeMutableRawPointer
  /// Where each vCPU's words lie, domain by domain.
  private var infos: [Int]

  /// Whom no kick reaches: the tap has seen it.
  final class Nobody: EventRecipient {
    func kick(_ vcpu: Int) {}
    func stir() {}
  }

  /// What a vCPU shares.
  struct Info {
    var upcall: Bool
    var isMasked: Bool
    var selector: UInt64
  }

  init(_ model: EventsModel, ids: [DomainID], vcpus: Int, _ maker: EventsMaker) {
    (self.model, self.ids, self.vcpus) = (model, ids, vcpus)
    ports = maker.make(TappedEventWords(tap))
    memory = .allocate(byteCount: ids.count * frameSize, alignment: frameSize)
    infos = Array(repeating: 0, count: ids.count * vcpus)
    reset()
  }

  deinit { memory.deallocate() }

  /// No domain is there.
  func reset() {
    ports.restore([])
    for name in ids.indices { forget(name) }
  }

  /// A domain's memory is new.
  func forget(_ name: Int) {
    sharedInfo(name).initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    for v in 0..<vcpus { infos[name * vcpus + v] = v * 64 }
  }

  func sharedInfo(_ name: Int) -> UnsafeMutableRawPointer { memory + name * frameSize }

  /// A vCPU's `vcpu_info`.
  func infoPlace(_ name: Int, _ vcpu: Int) -> UnsafeMutableRawPointer {
    sharedInfo(name) + infos[name * vcpus + vcpu]
  }

  /// The other place where it can be.
  func otherInfoPlace(_ name: Int, _ vcpu: Int) -> UnsafeMutableRawPointer {
    sharedInfo(name) + (infos[name * vcpus + vcpu] ^ 1024)
  }

  func moveInfo(_ name: Int, _ vcpu: Int) { infos[name * vcpus + vcpu] ^= 1024 }

  // MARK: Words

  private enum Offset {
    static let pending = 2048
    static let mask = 2560
    static let selector = 8
  }

  private func setBit(_ offset: Int, _ name: Int, _ port: Int, _ value: Bool) {
    let place = offset + port / 64 * 8
    let bit: UInt64 = 1 &<< UInt64(port % 64)
    let old = sharedInfo(name).load(fromByteOffset: place, as: UInt64.self)
    sharedInfo(name).storeBytes(of: value ? old | bit : old & ~bit, toByteOffset: place, as: UInt64.self)
  }

  private func word(_ offset: Int, _ name: Int, _ word: Int) -> UInt64 {
    sharedInfo(name).load(fromByteOffset: offset + word * 8, as: UInt64.self)
  }

  /// Of 64 ports, the first of them 64 × `word`: those that are pending, a bit each.
  func pending(_ name: Int, _ word: Int) -> UInt64 { self.word(Offset.pending, name, word) }
  /// Those that are masked.
  func masked(_ name: Int, _ word: Int) -> UInt64 { self.word(Offset.mask, name, word) }
  func setPending(_ name: Int, _ port: Int, _ value: Bool) { setBit(Offset.pending, name, port, value) }
  func setMask(_ name: Int, _ port: Int, _ value: Bool) { setBit(Offset.mask, name, port, value) }

  func info(_ name: Int, _ vcpu: Int) -> Info {
    let place = infoPlace(name, vcpu)
    return Info(
      upcall: place.load(as: UInt8.self) != 0, isMasked: place.load(fromByteOffset: 1, as: UInt8.self) != 0,
      selector: place.load(fromByteOffset: Offset.selector, as: UInt64.self))
  }

  func setInfo(_ name: Int, _ vcpu: Int, _ info: Info) {
    let place = infoPlace(name, vcpu)
    place.storeBytes(of: info.upcall ? 1 : 0, as: UInt8.self)
    place.storeBytes(of: info.isMasked ? 1 : 0, toByteOffset: 1, as: UInt8.self)
    place.storeBytes(of: info.selector, toByteOffset: Offset.selector, as: UInt64.self)
  }
}
