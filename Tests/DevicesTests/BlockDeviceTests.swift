// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Interfaces
import Machines
import Synchronization
import Testing
import Xenstore

@testable import Devices

@Suite("A block device in the store")
struct BlockDeviceTests {
  /// The device under test, its store, and what its event channels do.
  private struct Setup {
    let guest = FakeGuest()
    let store = HostStore(Store())
    let paths = DevicePaths(kind: "vbd", domain: FakeGuest.domain, number: 51712)
    let file = TemporaryFile(Array(repeating: 7, count: 1 << 16))
    let channels = Channels()
    let device: BlockDevice
    let frontEnd: FakeFrontEnd

    init(readOnly: Bool = false) throws {
      let image = try DiskImage(path: file.path, readOnly: readOnly)
      BlockDevice.describe(image, name: "xvda", number: 51712, paths, in: store)
      let channels = channels
      let bus = DeviceBus(
        grants: HostGrants(guest, of: FakeGuest.domain),
        makeRing: { OptimisedMachinery().makeBackRing(page: $0, slotCount: $1, slotSize: $2) },
        bind: { channels.bind($0) })
      device = BlockDevice(BlockQueues.open(image), paths, store, bus)
      frontEnd = FakeFrontEnd(guest, ringFrame: 2)
    }

    var state: String? { store.read(paths.backEnd / "state") }

    /// The front end writes its details, and a state.
    func announce(_ state: Int, ring: String = "2", port: String = "5", protocolName: String? = "x86_64-abi")
      throws
    {
      store.write(paths.frontEnd / "ring-ref", ring)
      store.write(paths.frontEnd / "event-channel", port)
      if let protocolName { store.write(paths.frontEnd / "protocol", protocolName) }
      try enter(state)
    }

    func enter(_ state: Int) throws {
      store.write(paths.frontEnd / "state", state)
      try device.work()
    }
  }

  /// A guest's one open port, 5.
  private final class Channels: Sendable {
    let isBound = Mutex(false)
    let events = Atomic(0)

    func bind(_ port: EventPort) -> DeviceBus.Channel? {
      let wasFree = isBound.withLock { isBound in
        guard port == EventPort(5), !isBound else { return false }
        isBound = true
        return true
      }
      guard wasFree else { return nil }
      return DeviceBus.Channel(
        notify: { self.events.add(1, ordering: .relaxed) }, close: { self.isBound.withLock { $0 = false } })
    }
  }

  @Test("waits for its front end, and says what a guest wants to know")
  func description() throws {
    let setup = try Setup()
    #expect(setup.state == "2")
    let nodes = [
      "dev": "xvda", "sectors": "128", "sector-size": "512", "info": "0", "mode": "w",
      "feature-flush-cache": "1",
      "feature-barrier": "1", "frontend": "/local/domain/1/device/vbd/51712", "frontend-id": "1",
      "online": "1", "feature-max-indirect-segments": "256", "discard-granularity": "4096",
      "discard-secure": "0",
    ]
    for (name, value) in nodes { #expect(setup.store.read(setup.paths.backEnd / name) == value) }
    #expect(setup.store.read(setup.paths.frontEnd / "backend") == "/local/domain/0/backend/vbd/1/51712")
    #expect(setup.store.read(setup.paths.frontEnd / "virtual-device") == "51712")
    #expect(setup.store.read(setup.paths.frontEnd / "state") == "1")
    let readOnly = try Setup(readOnly: true)
    #expect(readOnly.store.read(readOnly.paths.backEnd / "info") == "4")
    #expect(readOnly.store.read(readOnly.paths.backEnd / "mode") == "r")
    #expect(readOnly.store.read(readOnly.paths.backEnd / "feature-discard") == "0")
    let other = TemporaryFile(Array(repeating: 7, count: 512))
    let canDiscard = try DiskImage(path: other.path, readOnly: false).canDiscard
    #expect(setup.store.read(setup.paths.backEnd / "feature-discard") == (canDiscard ? "1" : "0"))
  }

  @Test("lets its guest read one directory and write the other")
  func permissions() throws {
    let setup = try Setup()
    let guest = setup.store.store.connect(as: FakeGuest.domain)
    #expect(try setup.store.store.read(setup.paths.backEnd / "sectors", by: guest) == Array("128".utf8))
    #expect(throws: StoreError.accessDenied) {
      try setup.store.store.write(setup.paths.backEnd / "state", [], by: guest)
    }
    try setup.store.store.write(setup.paths.frontEnd / "ring-ref", [], by: guest)
    let stranger = setup.store.store.connect(as: DomainID(2))
    #expect(throws: StoreError.accessDenied) {
      try setup.store.store.read(setup.paths.backEnd / "sectors", by: stranger)
    }
  }

  @Test("connects when the front end's details are there, and serves it", arguments: [3, 4])
  func connects(state: Int) throws {
    let setup = try Setup()
    try setup.announce(state)
    #expect(setup.state == "4" && setup.guest.mappedFrames == [2])
    setup.guest.grant(10)
    setup.frontEnd.put(operation: 0, sector: 0, segments: [(10, 0, 0)])
    try setup.device.work()
    #expect(try setup.frontEnd.take()?.status == 0)
    #expect(setup.guest.page(10)[511] == 7 && setup.channels.events.load(ordering: .relaxed) == 1)
  }

  @Test("goes through closing and closed with its front end, and back to waiting, as often as a guest likes")
  func handOver() throws {
    let setup = try Setup()
    for _ in 0..<3 {
      try setup.announce(3)
      #expect(setup.state == "4")
      try setup.enter(5)
      #expect(setup.state == "5" && setup.guest.mappedFrames == [])
      try setup.enter(6)
      #expect(setup.state == "6")
      try setup.enter(1)
      #expect(setup.state == "2")
    }
    // GRUB's way: 6 at once, then 1.
    try setup.announce(3)
    try setup.enter(6)
    #expect(setup.state == "6" && setup.guest.mappedFrames == [] && !setup.channels.isBound.withLock { $0 })
    try setup.enter(1)
    #expect(setup.state == "2")
  }

  @Test(
    "refuses details that make no sense, lets go of everything, and waits again afterwards",
    arguments: [
      ("3", "5", "x86_64-abi", "ring-ref: grant 3 cannot be mapped (generalError)"),
      ("600", "5", "x86_64-abi", "ring-ref: grant 600 cannot be mapped (badReference)"),
      ("-1", "5", "x86_64-abi", "ring-ref and event-channel are no numbers"),
      ("2", "", "x86_64-abi", "ring-ref and event-channel are no numbers"),
      ("2", "6", "x86_64-abi", "event-channel 6 is not open for the host"),
      ("2", "5", "x86_32-abi", "unknown protocol"),
    ])
  func refusals(ring: String, port: String, name: String, message: String) throws {
    let setup = try Setup()
    try setup.announce(3, ring: ring, port: port, protocolName: name)
    #expect(setup.state == "5" && setup.guest.mappedFrames == [])
    #expect(setup.store.read(setup.paths.backEnd / "error") == message)
    try setup.enter(1)
    try setup.announce(3)
    #expect(setup.state == "4" && setup.store.read(setup.paths.backEnd / "error") == nil)
  }

  @Test("takes nonsense for a state as the end", arguments: ["0", "7", "", "x", "99999999999999999999"])
  func states(text: String) throws {
    let setup = try Setup()
    try setup.announce(3)
    setup.store.write(setup.paths.frontEnd / "state", text)
    try setup.device.work()
    #expect(setup.state == "6" && setup.guest.mappedFrames == [])
  }

  @Test("lets go of everything when its front end's directory is removed")
  func removal() throws {
    let setup = try Setup()
    try setup.announce(3)
    setup.store.remove(setup.paths.frontEnd)
    try setup.device.work()
    #expect(setup.state == "6" && setup.guest.mappedFrames == [])
  }
}
