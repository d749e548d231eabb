// SPDX-License-Identifier: Apache-2.0

import Devices
import Hypervisor
import Interfaces
import Xenstore

/// One life of a domain, from its making to its end: memory, directories in the store, back ends.
final class RunningDomain {
  let domain: Domain
  private let host: Host
  private let store: Store
  private let hostStore: HostStore
  private let directory: GuestDirectory
  private let grants: HostGrants
  /// The pages of the store's and the console's ring, mapped.
  private let pages: [MappedPage]
  private let storeConnection: StoreConnection
  private let console: ConsoleBackEnd
  private let emergencyConsole: EmergencyConsole?
  private let disks: [BlockBackEnd]
  private let interfaces: [NetworkBackEnd]
  private let initial: FirstState

  /// The entries of a guest's grant table that are the toolstack's (`GNTTAB_RESERVED_CONSOLE`, `…_XENSTORE`).
  private static let consoleGrant = GrantReference(0)
  private static let storeGrant = GrantReference(1)

  /// Makes the domain, ready to start.
  init(_ plan: DomainPlan, on host: Host, _ store: Store, console streams: ConsoleStreams)
    throws(ToolstackError)
  {
    let configuration = plan.configuration
    self.host = host
    self.store = store
    hostStore = HostStore(store)
    do {
      domain = try host.createDomain(
        Hypervisor.DomainConfiguration(
          name: configuration.name, type: configuration.type, frameCount: plan.frameCount,
          virtualCPUCount: configuration.vcpus))
    } catch {
      throw ToolstackError(error.description)
    }
    directory = GuestDirectory(domain: domain.id, store: hostStore)
    grants = HostGrants(host, of: domain.id)
    do {
      let rings = try Self.rings(plan, domain, host)
      initial = try Self.build(plan, domain, host, rings)
      directory.create(configuration, rings)
      for (reference, frame) in [
        (Self.storeGrant, rings.storeFrame), (Self.consoleGrant, rings.consoleFrame),
      ] {
        domain.setGrant(
          reference,
          GrantEntry(flags: .permitAccess, domain: .host, frame: UInt32(truncatingIfNeeded: frame)))
      }
      pages = try grants.map([Self.storeGrant, Self.consoleGrant], readOnly: false).get()
      storeConnection = try StoreConnection(
        store, to: domain, on: host, page: pages[0].bytes, port: rings.storePort)
      console = try ConsoleBackEnd(
        streams, for: domain, on: host, page: pages[1].bytes, port: rings.consolePort)
    } catch let problem as ImageProblem {
      throw ToolstackError("domain \(configuration.name) cannot be built: \(problem.message)")
    } catch {
      throw ToolstackError("domain \(configuration.name) cannot be connected to the host: \(error)")
    }
    let domain = domain
    emergencyConsole = streams.log.map { EmergencyConsole(of: domain.id, output: $0) }
    if let emergencyConsole { domain.emergencyConsole = { emergencyConsole.write($0) } }
    disks = plan.disks.map { disk in
      BlockBackEnd(
        disk.queue, name: disk.device.name, number: disk.device.number, for: domain, on: host, store)
    }
    interfaces = plan.interfaces.enumerated().map { number, interface in
      NetworkBackEnd(interface.address, number: number, interface.network, for: domain, on: host, store)
    }
    store.introduce(domain.id)
  }

  private static func rings(_ plan: DomainPlan, _ domain: Domain, _ host: Host) throws(HypercallError)
    -> GuestDirectory.Rings
  {
    guard let storeFrame = domain.frameNumber(of: plan.builder.storeFrame),
      let consoleFrame = domain.frameNumber(of: plan.builder.consoleFrame)
    else { throw .invalid }
    return GuestDirectory.Rings(
      storeFrame: storeFrame, storePort: try host.allocateUnbound(for: domain),
      consoleFrame: consoleFrame, consolePort: try host.allocateUnbound(for: domain))
  }

  private static func build(_ plan: DomainPlan, _ domain: Domain, _ host: Host, _ rings: GuestDirectory.Rings)
    throws(ImageProblem) -> FirstState
  {
    let frames = (0..<UInt64(plan.frameCount)).compactMap { domain.machineFrame(of: GuestFrame($0)) }
    let initial = try plan.builder.fill(
      GuestMemory(frames: frames, memory: host.memory),
      Surroundings(
        sharedInfo: domain.sharedInfo.address, storePort: rings.storePort, consolePort: rings.consolePort))
    if let page = plan.builder.hypercallFrame { domain.fillHypercallPage(page) }
    domain.expectPolling(of: plan.builder.consoleFrame, indexOffset: ConsoleBackEnd.indexOffset)
    return initial
  }

  /// Starts the domain, and returns when it has ended.
  func run() throws(ToolstackError) -> DomainEnd {
    do {
      return try domain.run(initial)
    } catch {
      throw ToolstackError(error.description)
    }
  }

  /// Takes back ends, directories and memory away, in this order: each lets go of what the next one frees.
  /// - Precondition: the domain has ended or was never started.
  /// - Returns: false if somebody else still maps memory of the domain, which stays then.
  func close() -> Bool {
    for interface in interfaces { interface.close() }
    for disk in disks { disk.close() }
    console.close()
    emergencyConsole?.close()
    storeConnection.close()
    grants.unmap(pages)
    store.release(domain.id)
    directory.remove()
    hostStore.disconnect()
    return host.destroyDomain(domain)
  }
}
