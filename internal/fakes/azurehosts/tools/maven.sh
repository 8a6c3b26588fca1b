# Maven before 3.9 does not read MAVEN_ARGS, so it gets them on its command line.
maven() {
	# shellcheck disable=SC2086
	mvn -B -q "$@" $MAVEN_ARGS
}

# project ID URL GROUP makes a project whose parent is in a repository.
project() {
	cat >pom.xml <<-POM
		<project><modelVersion>4.0.0</modelVersion><parent><groupId>$3</groupId><artifactId>parent</artifactId><version>1</version><relativePath/></parent>
		<artifactId>child</artifactId><packaging>pom</packaging><repositories><repository><id>$1</id><url>$2</url></repository></repositories></project>
	POM
	rm -rf m2
}

use() {
	project "$FEED" "https://pkgs.dev.azure.com/contoso/_packaging/$FEED/maven/v1" demo
	maven -Dmaven.repo.local=m2 validate
	test -e m2/demo/parent/1/parent-1.pom
	# Deploy, where Debian's plugin is there.
	plugin=/usr/share/maven-repo/org/apache/maven/plugins/maven-deploy-plugin
	if [ -e "$plugin" ]; then
		printf '<settings><profiles><profile><id>d</id><pluginRepositories><pluginRepository><id>d</id><url>file:///usr/share/maven-repo</url></pluginRepository></pluginRepositories></profile></profiles><activeProfiles><activeProfile>d</activeProfile></activeProfiles></settings>\n' >debian.xml
		maven -s debian.xml -Dmaven.repo.local=m2 org.apache.maven.plugins:maven-deploy-plugin:3.0.0:deploy-file -Dfile=pom.xml -DpomFile=pom.xml \
			-DrepositoryId="$FEED" -Durl="https://pkgs.dev.azure.com/contoso/_packaging/$FEED/maven/v1"
	fi
}

# The user's own settings.xml has a server, and says where the local repository is.
own() {
	project mine https://elsewhere.example/maven/v1 mine
	rm -rf "$HOME/own-m2"
	maven validate
	test -e "$HOME/own-m2/mine/parent/1/parent-1.pom"
	# A -s of the caller's counts too.
	printf '<settings><localRepository>%s/theirs</localRepository></settings>\n' "$PWD" >theirs.xml
	project "$FEED" "https://pkgs.dev.azure.com/contoso/_packaging/$FEED/maven/v1" demo
	maven -s theirs.xml validate
	test -e theirs/demo/parent/1/parent-1.pom
	# And a server of the feed's name in it.
	printf '<settings><localRepository>%s/theirs2</localRepository><servers><server><id>%s</id><username>x</username><password>x</password></server></servers></settings>\n' "$PWD" "$FEED" >theirs.xml
	refused maven -s theirs.xml validate
}

foreign() {
	project another https://pkgs.dev.azure.com/other/_packaging/x/maven/v1 demo
	refused maven -Dmaven.repo.local=m2 validate
}

# Maven goes by the repository's id.
limit() {
	project "$FEED" https://elsewhere.example/maven/v1 demo
	refused maven -Dmaven.repo.local=m2 validate
}
