// SPDX-License-Identifier: Apache-2.0

import Glibc
import Hypervisor
import Interfaces
import Xenstore

/// The back end of one network interface (`vif`): a thread that follows the front end, as `DeviceLife` says, and serves
/// it and the network behind it.
public final class NetworkBackEnd: Sendable {
  private let service: DeviceService<NetworkDevice>

  /// Puts an interface into the store and waits for the guest to connect.
  /// - Parameters:
  ///   - number: counts the domain's interfaces, from 0 on; names its directories.
  ///   - network: what is behind it: the back end's own until it is closed.
  public init(
    _ address: EthernetAddress, number: Int, _ network: any GuestNetwork, for domain: Domain, on host: Host,
    _ store: Store
  ) {
    let paths = DevicePaths(kind: "vif", domain: domain.id, number: number)
    let largeSegments = network.takesLargeSegments
    let confined = Confined(network)
    service = DeviceService(
      "vif\(number)-\(domain.id)", "its network interface \(number)", at: paths, for: domain, on: host, store
    ) { store, bus in
      NetworkDevice.describe(address, number: number, largeSegments: largeSegments, paths, in: store)
      return NetworkDevice(paths, store, bus, largeSegments: largeSegments) { confined.value.send($0) }
    } loop: { device, wakeUp, isStopping throws(RingError) in
      Self.blockBrokenPipes()
      let network = confined.value
      while !isStopping() {
        let isBusy = try device.work()
        network.wait(for: wakeUp, atMost: isBusy ? 0 : nil) { device.receive($0) }
      }
    }
  }

  /// libslirp writes to sockets whose peers may be gone.
  private static func blockBrokenPipes() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
  }

  /// Takes the interface away: nothing of the guest is mapped any more, and the store has forgotten it.
  public func close() { service.close() }
}
