// SPDX-License-Identifier: Apache-2.0

import Machines

extension Trial {
  /// The optimised machines beside their specifications: what the random driver and the fuzz targets run.
  public static var rings: [Trial] { [ring(OptimisedBackSide.self), ring(OptimisedFrontSide.self)] }
  public static var streams: [Trial] {
    [stream(OptimisedStreamReader.self), stream(OptimisedStreamWriter.self)]
  }
  public static var grantTables: [Trial] { [grants(), crowdedGrants()] }
  public static var eventPorts: [Trial] { [eventChannels(), crowdedEventChannels()] }
  public static var hostMemories: [Trial] { [hostMemory()] }
  public static var shadows: [Trial] { [shadow(), crowdedShadow()] }
  public static var selfBalloons: [Trial] { [selfBalloon(SelfBalloonController.self)] }
  public static var dirtyLogs: [Trial] { [dirtyLog(TappedDirtyLog.self)] }
  public static var all: [Trial] { FuzzTarget.all.flatMap(\.trials) }
}

/// What one coverage-guided fuzzer runs, and its files are for: the trials of one machine. An input's first byte chooses
/// the trial; the others are decoded into operations as the random driver's are.
public struct FuzzTarget: Sendable {
  /// The folder in `Fuzz`: "Ring".
  public let name: String
  public let trials: [Trial]

  public init(_ name: String, _ trials: [Trial]) {
    self.name = name
    self.trials = trials
  }

  public static let ring = FuzzTarget("Ring", Trial.rings)
  public static let stream = FuzzTarget("Stream", Trial.streams)
  public static let grants = FuzzTarget("Grants", Trial.grantTables)
  public static let eventChannels = FuzzTarget("EventChannels", Trial.eventPorts)
  public static let shadow = FuzzTarget("Shadow", Trial.shadows)
  public static let balloon = FuzzTarget("Balloon", Trial.hostMemories)
  public static let selfBalloon = FuzzTarget("SelfBalloon", Trial.selfBalloons)
  public static let dirtyLog = FuzzTarget("DirtyLog", Trial.dirtyLogs)
  public static let all = [ring, stream, grants, eventChannels, shadow, balloon, selfBalloon, dirtyLog]

  /// The input that runs a sequence of a trial.
  public static func input(_ trial: Int, _ bytes: [UInt8]) -> [UInt8] { [UInt8(trial)] + bytes }
}

/// Runs inputs of a fuzz target, on one thread.
public final class FuzzSession {
  private let sessions: [TrialSession]

  public init(_ target: FuzzTarget) { sessions = target.trials.map { TrialSession($0) } }

  /// Runs one input; says what diverges.
  public func run(_ input: UnsafeBufferPointer<UInt8>) -> Divergence? {
    guard let first = input.first, input.count > 1 else { return nil }
    return sessions[Int(first) % sessions.count].run(Array(input.dropFirst())).divergence
  }
}
