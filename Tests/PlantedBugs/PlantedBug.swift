// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces

/// A bug planted in an optimised machine, and how each driver is set on it.
public struct PlantedBug: Sendable, CustomStringConvertible {
  /// "Ring, missedFence".
  public let description: String
  public let trial: Trial
  /// Explores exhaustively, until it is found.
  public let explore: @Sendable () -> [ExhaustiveReport]

  public static let all: [PlantedBug] =
    rings + streams + GrantBug.allCases.map(grants) + EventBug.allCases.map(events)
    + ShadowBug.allCases.map(shadow)
    + HostMemoryBug.allCases.map(hostMemories) + selfBalloons + dirtyLogs

  /// Explores at one scope after the other, up to the one at which something is found.
  private static func untilFound<Scope>(_ scopes: [Scope], _ explore: (Scope) -> ExhaustiveReport)
    -> [ExhaustiveReport]
  {
    var reports: [ExhaustiveReport] = []
    for scope in scopes where reports.last?.divergence == nil { reports.append(explore(scope)) }
    return reports
  }

  private static let rings = [
    ring(PlantedBackSide<0>.self, .unboundedProducer), ring(PlantedBackSide<1>.self, .boundWithoutUnanswered),
    ring(PlantedBackSide<2>.self, .eventOffByOne), ring(PlantedBackSide<3>.self, .missedFence),
    ring(PlantedBackSide<4>.self, .doubleFetch), ring(PlantedBackSide<5>.self, .noSecondLook),
    ring(PlantedBackSide<6>.self, .asksTooEarly),
  ]
  private static let streams = [
    stream(PlantedStreamReader<0>.self, .unboundedProducer),
    stream(PlantedStreamReader<1>.self, .indexBeforeBytes),
    stream(PlantedStreamReader<2>.self, .indexOffByOne), stream(PlantedStreamReader<3>.self, .doubleFetch),
    stream(PlantedStreamReader<4>.self, .oneByteShort),
  ]

  private static let dirtyLogs = [
    dirtyLog(PlantedDirtyLog<0>.self, .unflushed), dirtyLog(PlantedDirtyLog<1>.self, .lostRefusal),
    dirtyLog(PlantedDirtyLog<2>.self, .unknownInverted), dirtyLog(PlantedDirtyLog<3>.self, .togglesLog),
    dirtyLog(PlantedDirtyLog<4>.self, .tornClear), dirtyLog(PlantedDirtyLog<5>.self, .lostWithEntry),
    dirtyLog(PlantedDirtyLog<6>.self, .ignoresReadOnly), dirtyLog(PlantedDirtyLog<7>.self, .noLastLook),
    dirtyLog(PlantedDirtyLog<8>.self, .staysFrozen), dirtyLog(PlantedDirtyLog<9>.self, .firstEntryOnly),
  ]

  private static func dirtyLog<Side: DirtyLogSide>(_ side: Side.Type, _ bug: DirtyLogBug) -> PlantedBug {
    PlantedBug(description: "DirtyLog, \(bug)", trial: .dirtyLog(side)) {
      untilFound(DirtyLogExplorationScope.all) { DirtyLogExploration(side, $0).run(countsReachable: false) }
    }
  }

  private static let selfBalloons = [
    selfBalloon(PlantedController<0>.self, .shareRoundedDown),
    selfBalloon(PlantedController<1>.self, .overshoot),
    selfBalloon(PlantedController<2>.self, .floorSkipped), selfBalloon(PlantedController<3>.self, .alwaysOn),
    selfBalloon(PlantedController<4>.self, .zeroTaken),
  ]

  private static func selfBalloon<Control: SelfBalloonControl>(_ type: Control.Type, _ bug: SelfBalloonBug)
    -> PlantedBug
  {
    PlantedBug(description: "SelfBalloon, \(bug)", trial: .selfBalloon(type)) {
      [SelfBalloonExploration(type).run(countsReachable: false)]
    }
  }

  private static func ring<Side: RingSide>(_ side: Side.Type, _ bug: RingBug) -> PlantedBug {
    PlantedBug(description: "Ring, \(bug)", trial: .ring(side)) {
      untilFound([true, false]) { RingExploration(side, slots: 2, hostile: $0).run(countsReachable: false) }
    }
  }

  private static func stream<Side: StreamSide>(_ side: Side.Type, _ bug: StreamBug) -> PlantedBug {
    PlantedBug(description: "Stream, \(bug)", trial: .stream(side)) {
      untilFound([true, false]) { StreamExploration(side, size: 2, hostile: $0).run(countsReachable: false) }
    }
  }

  private static func grants(_ bug: GrantBug) -> PlantedBug {
    PlantedBug(description: "Grants, \(bug)", trial: .grants(bug.maker)) {
      [GrantsExploration(bug.maker).run()]
    }
  }

  private static func hostMemories(_ bug: HostMemoryBug) -> PlantedBug {
    PlantedBug(description: "Balloon, \(bug)", trial: .hostMemory(bug.maker)) {
      untilFound(HostMemoryScope.all) { HostMemoryExploration($0, bug.maker).run() }
    }
  }

  private static func events(_ bug: EventBug) -> PlantedBug {
    PlantedBug(description: "EventChannels, \(bug)", trial: .eventChannels(bug.maker)) {
      untilFound(EventsExplorationScope.all) { EventsExploration($0, bug.maker).run() }
    }
  }

  private static func shadow(_ bug: ShadowBug) -> PlantedBug {
    PlantedBug(description: "Shadow, \(bug)", trial: .shadow(bug.maker)) {
      untilFound(ShadowExplorationScope.all) { ShadowExploration($0, bug.maker).run() }
    }
  }
}
