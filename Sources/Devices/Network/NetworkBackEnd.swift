// SPDX-License-Identifier: Apache-2.0

import Glibc
import Hypervisor
import Interfaces
import Xenstore

/// The back end of one network interface (`vif`): a thread that follows the front end, as `DeviceLife` says, and serves
/// it and the network behind it.
public final class NetworkBackEnd: Sendable {
  private let thread: ServiceThread
  private let device: Confined<NetworkDevice>
  private let store: HostStore
  private let paths: DevicePaths

  /// Puts an interface into the store and waits for the guest to connect.
  /// - Parameters:
  ///   - number: counts the domain's interfaces, from 0 on; names its directories.
  ///   - network: what is behind it: the back end's own until it is closed.
  public init(
    _ address: EthernetAddress, number: Int, _ network: any GuestNetwork, for domain: Domain, on host: Host,
    _ store: Store
  ) {
    let thread = ServiceThread(name: "vif\(number)-\(domain.id)")
    let paths = DevicePaths(kind: "vif", domain: domain.id, number: number)
    let hostStore = HostStore(store)
    self.store = hostStore
    self.thread = thread
    self.paths = paths
    NetworkDevice.describe(
      address, number: number, largeSegments: network.takesLargeSegments, paths, in: hostStore)
    let bus = DeviceBus(host, of: domain.id) { thread.signal() }
    let device = NetworkDevice(paths, hostStore, bus, largeSegments: network.takesLargeSegments) {
      network.send($0)
    }
    self.device = Confined(device)
    let confined = Confined((device: device, network: network))
    hostStore.watch(paths.frontEnd / "state", token: paths.frontEnd.description) { _ in thread.signal() }
    thread.start { wakeUp, isStopping in
      Self.blockBrokenPipes()
      let (device, network) = confined.value
      do throws(RingError) {
        while !isStopping() {
          let isBusy = try device.work()
          network.wait(for: wakeUp, atMost: isBusy ? 0 : nil) { device.receive($0) }
        }
      } catch {
        domain.crash("a ring of its network interface \(number) is corrupt: \(error)")
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
  public func close() {
    store.disconnect()
    thread.stop()
    device.value.disconnect()
    paths.remove(from: store)
  }
}
