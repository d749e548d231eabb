// SPDX-License-Identifier: Apache-2.0

import Foundation
import Interfaces
import Machines

/// A host for simulated domains: sizes in pages.
struct OvercommitHost {
  /// What there is for all domains together.
  let pool: UInt64
  /// The most that each may have.
  let maximum: UInt64
}

/// One simulation: a number of domains on a host, and what became of them.
struct OvercommitRun {
  let host: OvercommitHost
  let domains: Int
  let seconds: Int
  /// Domains built, and the second in which the last of them was.
  private(set) var built = 0
  private(set) var builtAt = 0
  /// Pages written to swap devices.
  private(set) var swappedOut: UInt64 = 0
  /// Seconds of domains, and those among them in which one was short of memory.
  private(set) var domainSeconds = 0
  private(set) var shortSeconds = 0
  /// The most that all domains together were short of.
  private(set) var worstShortage: UInt64 = 0
  /// Whether the domains and what is free were always all that there is, and every domain within its bounds.
  private(set) var isConserved = true
  /// By second: what domains need, and what they have.
  private(set) var needed: [UInt64] = []
  private(set) var held: [UInt64] = []

  private struct Domain {
    var control: SelfBalloonController
    let demand: [UInt64]
    var shortage: UInt64 = 0
  }

  init(host: OvercommitHost, domains: Int, seconds: Int, demand: OvercommitDemand) {
    self.host = host
    self.domains = domains
    self.seconds = seconds
    guard let settings = SelfBalloonSettings(maximum: host.maximum) else {
      preconditionFailure("a domain of fewer than 2⁴⁰ pages has settings")
    }
    var running: [Domain] = []
    var free = host.pool
    for second in 0..<seconds {
      for index in running.indices { running[index].control.need(running[index].demand[second]) }
      balloon(&running, &free, first: second)
      // A domain is built with all that it may have; its kernel gives up what it does not need.
      if running.count < domains, free >= host.maximum,
        let control = SelfBalloonController(settings, current: host.maximum)
      {
        free -= host.maximum
        running.append(
          Domain(
            control: control,
            demand: demand.pages(of: running.count, maximum: host.maximum, seconds: seconds)))
        builtAt = second
      }
      account(&running, free, second)
    }
    built = running.count
  }

  /// The step of one second: who has too much gives, then who needs more is given, each second another one first.
  private func balloon(_ running: inout [Domain], _ free: inout UInt64, first: Int) {
    for index in running.indices {
      let before = running[index].control.current
      if let target = running[index].control.tick(), target < before, running[index].control.move(target) {
        free += before - target
      }
    }
    for offset in running.indices {
      let index = (first + offset) % running.count
      let before = running[index].control.current
      let target = running[index].control.target
      guard target > before else { continue }
      let given = min(target - before, free)
      if running[index].control.move(before + given) { free -= given }
    }
  }

  private mutating func account(_ running: inout [Domain], _ free: UInt64, _ second: Int) {
    var (need, have, short): (UInt64, UInt64, UInt64) = (0, 0, 0)
    for index in running.indices {
      let domain = running[index]
      let demand = domain.demand[second]
      let shortage = demand > domain.control.current ? demand - domain.control.current : 0
      if shortage > domain.shortage { swappedOut += shortage - domain.shortage }
      if shortage > 0 { shortSeconds += 1 }
      running[index].shortage = shortage
      need += demand
      have += domain.control.current
      short += shortage
      let settings = domain.control.settings
      isConserved = isConserved && settings.floor...settings.maximum ~= domain.control.current
    }
    domainSeconds += running.count
    worstShortage = max(worstShortage, short)
    isConserved = isConserved && have + free == host.pool
    needed.append(need)
    held.append(have)
  }

  /// The part of the domains' time in which they were short of memory.
  var shortShare: Double { domainSeconds == 0 ? 0 : Double(shortSeconds) / Double(domainSeconds) }

  func fits(allowed: Double) -> Bool { built == domains && shortShare <= allowed }
}

// MARK: What is printed

extension OvercommitRun {
  static let header = [
    "domains", "built", "after", "needed, mean", "held, mean", "swapped out", "worst shortage", "short",
    "fit",
  ]

  private static func mean(_ values: [UInt64]) -> UInt64 {
    values.reduce(0, +) / UInt64(max(values.count, 1)) / SimulateOvercommit.megabyte
  }

  func row(allowed: Double) -> [String] {
    [
      "\(domains)", "\(built)", "\(builtAt) s", "\(Self.mean(needed)) MB", "\(Self.mean(held)) MB",
      "\(swappedOut / SimulateOvercommit.megabyte) MB", "\(worstShortage / SimulateOvercommit.megabyte) MB",
      String(format: "%.2f %%", shortShare * 100), fits(allowed: allowed) ? "yes" : "no",
    ]
  }

  /// One line of JSON; sizes in pages of 4 KiB.
  struct Line: Encodable {
    let domains, built, builtAfterSeconds, domainSeconds, shortSeconds: Int
    let swappedOutPages, worstShortagePages: UInt64
    let fits, isConserved: Bool
  }

  func line(allowed: Double) -> Line {
    Line(
      domains: domains, built: built, builtAfterSeconds: builtAt, domainSeconds: domainSeconds,
      shortSeconds: shortSeconds, swappedOutPages: swappedOut, worstShortagePages: worstShortage,
      fits: fits(allowed: allowed), isConserved: isConserved)
  }
}
