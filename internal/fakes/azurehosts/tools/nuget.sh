# NuGet 5.8 on mono, by the variables of a source's name. The plugin that reads the other
# variables is not to be had.
nuget() { mono "$NUGET" "$@" -NonInteractive -Verbosity quiet; }

# feed NAME URL makes a configuration with one source.
feed() {
	cat >nuget.config <<-XML
		<configuration><config><add key="globalPackagesFolder" value="global" /></config>
		<packageSources><clear /><add key="$1" value="$2" protocolVersion="3" /></packageSources></configuration>
	XML
	rm -rf global out
}

use() {
	feed "$FEED" "https://pkgs.dev.azure.com/contoso/_packaging/$FEED/nuget/v3/index.json"
	nuget install demo -Version 1.0.0 -OutputDirectory out -NoCache -DirectDownload
	test -e out/demo.1.0.0/demo.1.0.0.nupkg
	nuget push out/demo.1.0.0/demo.1.0.0.nupkg -Source "$FEED" -ApiKey az
}

# The user's own source.
own() {
	feed mine https://elsewhere.example/nuget/v3/index.json
	nuget install mine -Version 1.0.0 -OutputDirectory out -NoCache -DirectDownload
}

foreign() {
	feed other "https://pkgs.dev.azure.com/other/_packaging/$FEED/nuget/v3/index.json"
	refused nuget install demo -Version 1.0.0 -OutputDirectory out -NoCache -DirectDownload
}

# NuGet goes by the source's name.
limit() {
	feed "$FEED" https://elsewhere.example/nuget/v3/index.json
	refused nuget install demo -Version 1.0.0 -OutputDirectory out -NoCache -DirectDownload
}
