package emulator

// GraphTypes lets a test compare the types with Microsoft's.
var GraphTypes = graphTypes
