package githubrunner

// HostileText has texts that are similar to logging commands, as seeds of fuzz tests.
var HostileText = []string{
	"::error::x", "::add-mask::a", "\r::stop-commands::x\n", "##[error]x", "###[warning]y", "##vso[task.complete]", "a\u2028::x::", "#\u034f#[error]x",
	"\u00a0::debug::x", ":\ufe0f:error::x", "\xff\xfe::group::\x00", "%0A::error::x", "title=a,b::c", "::error ::", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
	"#\U000e0100#[error]x", ":::::error::x", "  \n \n::set-env name=a::b",
}
