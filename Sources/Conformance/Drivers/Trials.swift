// SPDX-License-Identifier: Apache-2.0

extension Trial {
  /// The optimised machines beside their specifications: what the random driver and the fuzz targets run.
  public static var rings: [Trial] { [ring(OptimisedBackSide.self), ring(OptimisedFrontSide.self)] }
  public static var streams: [Trial] {
    [stream(OptimisedStreamReader.self), stream(OptimisedStreamWriter.self)]
  }
  public static var grantTables: [Trial] { [grants(), crowdedGrants()] }
  public static var all: [Trial] { rings + streams + grantTables }
}
