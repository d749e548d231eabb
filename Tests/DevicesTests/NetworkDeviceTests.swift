// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Interfaces
import Machines
import Synchronization
import Testing
import Xenstore

@testable import Devices

@Suite("A network interface in the store")
struct NetworkDeviceTests {
  /// The interface under test, its store, and what goes through it. Port 5 is the guest's one open port.
  private final class Setup {
    let guest = FakeGuest()
    let store = HostStore(Store())
    let paths = DevicePaths(kind: "vif", domain: FakeGuest.domain, number: 0)
    let frontEnd: FakeNetworkFrontEnd
    private let isBound = Atomic(false)
    private let events = Atomic(0)
    private(set) var device: NetworkDevice!
    var sent: [[UInt8]] = []

    init(largeSegments: Bool = true) {
      frontEnd = FakeNetworkFrontEnd(guest)
      NetworkDevice.describe(
        EthernetAddress([0, 0x16, 0x3e, 1, 2, 0xff]), number: 0, largeSegments: largeSegments, paths,
        in: store)
      let (isBound, events) = (Shared(self), Shared(self))
      let bus = DeviceBus(
        grants: HostGrants(guest, of: FakeGuest.domain),
        makeRing: { OptimisedMachinery().makeBackRing(page: $0, slotCount: $1, slotSize: $2) },
        bind: { port in
          guard port == EventPort(5), !isBound.setup.isBound.exchange(true, ordering: .relaxed) else {
            return nil
          }
          return DeviceBus.Channel(
            notify: { events.setup.events.add(1, ordering: .relaxed) },
            close: { isBound.setup.isBound.store(false, ordering: .relaxed) })
        })
      device = NetworkDevice(paths, store, bus, largeSegments: largeSegments) { [unowned self] in
        sent.append(Array($0))
      }
    }

    /// For closures that may run anywhere, and here do not.
    private struct Shared: @unchecked Sendable {
      unowned let setup: Setup
      init(_ setup: Setup) { self.setup = setup }
    }

    var state: String? { store.read(paths.backEnd / "state") }
    var isLetGo: Bool { guest.mappedFrames == [] && !isBound.load(ordering: .relaxed) }
    var eventCount: Int { events.load(ordering: .relaxed) }

    /// The front end writes its details, and that it is connected.
    func announce(transmit: String = "2", receive: String = "3", port: String = "5", copies: String? = "1")
      throws
    {
      store.write(paths.frontEnd / "tx-ring-ref", transmit)
      store.write(paths.frontEnd / "rx-ring-ref", receive)
      store.write(paths.frontEnd / "event-channel", port)
      store.remove(paths.frontEnd / "request-rx-copy")
      if let copies { store.write(paths.frontEnd / "request-rx-copy", copies) }
      try enter(4)
    }

    func enter(_ state: Int) throws {
      store.write(paths.frontEnd / "state", state)
      _ = try device.work()
    }
  }

  @Test("waits for its front end, and says what a guest wants to know")
  func description() {
    let setup = Setup()
    #expect(setup.state == "2")
    let nodes = [
      "feature-rx-copy": "1", "feature-sg": "1", "feature-gso-tcpv4": "1", "mac": "00:16:3e:01:02:ff",
      "frontend": "/local/domain/1/device/vif/0", "handle": "0",
    ]
    for (name, value) in nodes { #expect(setup.store.read(setup.paths.backEnd / name) == value) }
    let small = Setup(largeSegments: false)
    #expect(small.store.read(small.paths.backEnd / "feature-gso-tcpv4") == "0")
    #expect(setup.store.read(setup.paths.frontEnd / "mac") == "00:16:3e:01:02:ff")
    #expect(setup.store.read(setup.paths.frontEnd / "backend") == "/local/domain/0/backend/vif/1/0")
  }

  @Test("connects when the front end's details are there, and carries frames both ways")
  func connects() throws {
    let setup = Setup()
    let frame = Array(repeating: UInt8(7), count: 60)
    frame.withUnsafeBytes { setup.device.receive($0) }
    try setup.announce()
    #expect(setup.state == "4" && setup.guest.mappedFrames == [2, 3])
    setup.guest.grant(10)
    setup.guest.grant(11)
    setup.guest.page(10).copyBytes(from: frame)
    setup.frontEnd.put([FakeNetworkFrontEnd.part(10, 0, size: 60)])
    setup.frontEnd.offer(11)
    frame.withUnsafeBytes { setup.device.receive($0) }
    #expect(try !setup.device.work())
    #expect(setup.sent == [frame] && setup.eventCount == 2)
    #expect(try setup.frontEnd.takeReceived()?.status == 60)
    #expect(try setup.frontEnd.takeReceived() == nil, "what came before it was connected is lost")
  }

  @Test("goes through closing and closed with its front end, and back to waiting, as often as a guest likes")
  func handOver() throws {
    let setup = Setup()
    for _ in 0..<3 {
      try setup.announce()
      #expect(setup.state == "4" && !setup.isLetGo)
      try setup.enter(5)
      #expect(setup.state == "5" && setup.isLetGo)
      try setup.enter(6)
      #expect(setup.state == "6")
      try setup.enter(1)
      #expect(setup.state == "2")
    }
    try setup.announce()
    setup.store.remove(setup.paths.frontEnd)
    _ = try setup.device.work()
    #expect(setup.state == "6" && setup.isLetGo)
  }

  @Test(
    "refuses details that make no sense, lets go of everything, and waits again afterwards",
    arguments: [
      ("4", "3", "5", "1", "tx-ring-ref, rx-ring-ref: grant 4 cannot be mapped (generalError)"),
      ("2", "4", "5", "1", "tx-ring-ref, rx-ring-ref: grant 4 cannot be mapped (generalError)"),
      ("2", "-1", "5", "1", "tx-ring-ref, rx-ring-ref and event-channel are no numbers"),
      ("2", "3", "", "1", "tx-ring-ref, rx-ring-ref and event-channel are no numbers"),
      ("2", "3", "6", "1", "event-channel 6 is not open for the host"),
      ("2", "3", "5", "0", "the front end does not ask for request-rx-copy"),
      ("2", "3", "5", nil, "the front end does not ask for request-rx-copy"),
    ])
  func refusals(transmit: String, receive: String, port: String, copies: String?, message: String) throws {
    let setup = Setup()
    try setup.announce(transmit: transmit, receive: receive, port: port, copies: copies)
    #expect(setup.state == "5" && setup.isLetGo)
    #expect(setup.store.read(setup.paths.backEnd / "error") == message)
    try setup.enter(1)
    try setup.announce()
    #expect(setup.state == "4" && setup.store.read(setup.paths.backEnd / "error") == nil)
  }
}

@Suite("A network interface's address")
struct EthernetAddressTests {
  @Test("is the same one for the same domain, one of Xen's, and another for another interface")
  func chosen() {
    let first = EthernetAddress(domainName: "debian", number: 0)
    #expect(first == EthernetAddress(domainName: "debian", number: 0))
    #expect(first.description.hasPrefix("00:16:3e:") && first.bytes[3] < 0x80)
    #expect(first != EthernetAddress(domainName: "debian", number: 1))
    #expect(first != EthernetAddress(domainName: "debian2", number: 0))
  }
}
