// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing
import Xenstore

@testable import Devices

/// A socket of the host's at 127.0.0.1.
private final class HostSocket {
  let descriptor: Int32
  private(set) var port: UInt16 = 0

  init(_ type: __socket_type) {
    descriptor = socket(AF_INET, Int32(type.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        precondition(bind(descriptor, pointer, size) == 0)
        if type == SOCK_STREAM { precondition(listen(descriptor, 8) == 0) }
        precondition(getsockname(descriptor, pointer, &size) == 0)
      }
    }
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(descriptor) }

  /// Connects to a port of 127.0.0.1.
  static func connects(to port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = port.bigEndian
    return withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}

/// A guest that sends and receives single frames.
private final class Guest {
  let network: UserNetwork
  private let wakeUp = WakeUp()
  var received: [[UInt8]] = []

  init(forwards: [PortForward] = []) throws { network = try UserNetwork(forwards: forwards) }

  func send(_ frame: [UInt8]) { frame.withUnsafeBytes { network.send($0) } }

  /// Sends an IPv4 packet of a protocol whose checksum is still blank.
  func send(tcp segment: [UInt8]) {
    var frame = Frame.ipv4(protocolNumber: 6, payload: segment)
    #expect(frame.withUnsafeMutableBytes { InternetChecksum.complete(in: $0) })
    send(frame)
  }

  /// Waits for a frame that fits, 5 s at most.
  func wait(hundredths: Int = 500, _ fits: ([UInt8]) -> Bool) -> Bool {
    for _ in 0..<hundredths {
      if received.contains(where: fits) { return true }
      network.wait(for: wakeUp, atMost: 10) { [self] in received.append(Array($0)) }
    }
    return false
  }

  /// Asks who has 10.0.2.2; says thereby who 10.0.2.15 is.
  func greet() {
    send(
      Frame.ethernet(0x0806) + [0, 1, 8, 0, 6, 4, 0, 1, 0x00, 0x16, 0x3e, 0, 0, 1, 10, 0, 2, 15]
        + [0, 0, 0, 0, 0, 0, 10, 0, 2, 2])
  }
}

private func isTCP(_ frame: [UInt8], flags: UInt8) -> Bool {
  frame.count >= 54 && frame[23] == 6 && frame[47] & 0x3f == flags
}

@Suite("A user-mode network")
struct UserNetworkTests {
  @Test("answers ARP for the host's address, and leads a connection to the host's own 127.0.0.1")
  func connection() throws {
    let listener = HostSocket(SOCK_STREAM)
    let guest = try Guest()
    guest.greet()
    #expect(guest.wait { $0.count >= 42 && $0[12...13] == [8, 6] && $0[28..<32] == [10, 0, 2, 2] })
    guest.send(tcp: Frame.tcp(from: 4000, to: listener.port, flags: 0x02))
    #expect(guest.wait { isTCP($0, flags: 0x12) }, "no SYN+ACK")
    #expect(guest.network.socketCount == 1)
    #expect(guest.received.allSatisfy { $0[12...13] == [8, 6] || Frame.residue($0) == 0 }, "checksums")
  }

  @Test("carries a datagram to the host")
  func datagram() throws {
    let socket = HostSocket(SOCK_DGRAM)
    let guest = try Guest()
    var frame = Frame.ipv4(
      protocolNumber: 17, payload: Frame.udp(from: 4000, to: socket.port, data: Array("hello".utf8)))
    #expect(frame.withUnsafeMutableBytes { InternetChecksum.complete(in: $0) })
    guest.send(frame)
    var buffer = [UInt8](repeating: 0, count: 64)
    #expect(recv(socket.descriptor, &buffer, 64, 0) == 5 && buffer.starts(with: Array("hello".utf8)))
  }

  @Test("opens so many sockets for its guest and no more, and goes on with those")
  func sockets() throws {
    let socket = HostSocket(SOCK_DGRAM)
    let guest = try Guest()
    let listener = HostSocket(SOCK_STREAM)
    guest.greet()
    guest.send(tcp: Frame.tcp(from: 4000, to: listener.port, flags: 0x02))
    for port in 0..<400 {
      var frame = Frame.ipv4(
        protocolNumber: 17, payload: Frame.udp(from: 5000 + UInt16(port), to: socket.port, data: [1]))
      #expect(frame.withUnsafeMutableBytes { InternetChecksum.complete(in: $0) })
      guest.send(frame)
    }
    #expect(guest.network.socketCount == UserNetwork.maximumSockets)
    guest.send(tcp: Frame.tcp(from: 4001, to: listener.port, flags: 0x02))
    #expect(guest.network.socketCount == UserNetwork.maximumSockets)
    #expect(guest.wait { isTCP($0, flags: 0x12) })
  }

  @Test("passes on neither fragments nor what is not IPv4, whole or not")
  func unwelcome() throws {
    let socket = HostSocket(SOCK_DGRAM)
    let guest = try Guest()
    for fragment in [0x2000, 0x0001, 0x3fff] as [UInt16] {
      guest.send(
        Frame.ipv4(
          protocolNumber: 17, payload: Frame.udp(from: 1, to: socket.port, data: [1]), fragment: fragment))
    }
    for type in [0x86dd, 0x88f8, 0x0000, 0xffff] as [UInt16] {
      for count in [0, 14, 200] { guest.send(Frame.ethernet(type) + Array(repeating: 0x60, count: count)) }
    }
    for count in 0..<42 {
      guest.send(Array((Frame.ethernet(0x0806) + Array(repeating: 0, count: 28)).prefix(count)))
    }
    #expect(guest.network.socketCount == 0)
    #expect(!guest.wait(hundredths: 5) { _ in true })
  }

  @Test("takes random frames", arguments: [1, 2, 3])
  func random(seed: UInt64) throws {
    var random = SystemRandom(state: seed)
    let guest = try Guest()
    let listener = HostSocket(SOCK_STREAM)
    guest.greet()
    for _ in 0..<3000 {
      var frame = Frame.ipv4(
        protocolNumber: [6, 17, 1, 2][random.below(4)],
        payload: Frame.tcp(
          from: UInt16(random.below(8)), to: listener.port, flags: UInt8(random.below(64)),
          data: Array(repeating: 1, count: random.below(200))))
      for _ in 0..<random.below(4) {
        frame[14 + random.below(UInt64(frame.count - 14))] = UInt8(random.below(256))
      }
      if random.below(2) == 0 { _ = frame.withUnsafeMutableBytes { InternetChecksum.complete(in: $0) } }
      // None to the world outside, and to nobody's port but ours.
      frame.replaceSubrange(30..<34, with: [10, 0, 2, 2])
      frame.replaceSubrange(36..<38, with: [UInt8(listener.port >> 8), UInt8(listener.port & 0xff)])
      guest.send(frame)
    }
    #expect(guest.network.socketCount <= UserNetwork.maximumSockets)
  }

  @Test("lets the host connect to its guest at a port, which one network can have")
  func forward() throws {
    // A port that is free: of a socket that is gone.
    let port = HostSocket(SOCK_STREAM).port
    let forward = PortForward(
      transport: .tcp, hostAddress: 0x7f00_0001, hostPort: port, guestPort: 80)
    let guest = try Guest(forwards: [forward])
    guest.greet()
    #expect(HostSocket.connects(to: port))
    #expect(guest.wait { isTCP($0, flags: 0x02) && $0[36...37] == [0, 80] }, "no SYN for port 80")
    #expect {
      try UserNetwork(forwards: [forward])
    } throws: {
      "\($0)"
        == "tcp:127.0.0.1:\(port)-:80: Address already in use; name another port or address"
    }
  }
}
