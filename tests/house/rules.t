#!/usr/bin/perl
# The rules of the house that a machine can check: who may include whom, banned functions, file
# length, unique names, and that project files speak of the project alone.
use strict;
use warnings;

my @files = split /\n/, `git ls-files`;
my @code = grep { /\.[ch]$/ } @files;
my %text;
for my $file (@code) {
    open my $handle, '<', $file or die "$file: $!";
    local $/;
    $text{$file} = <$handle>;
}
my $number = 0;
my $failed = 0;

sub result {
    my ($name, @problems) = @_;
    $number++;
    print @problems ? "not ok" : "ok", " $number - $name\n";
    print "# $_\n" for @problems;
    $failed = 1 if @problems;
}

# Which rooms a room may include, besides itself.
my %allowed = (
    'config'        => [],
    'gpu'           => ['config'],
    'storage'       => ['config'],
    'server/count'  => ['config', 'gpu', 'storage'],
    'server/camera' => ['config', 'gpu'],
    'server/decoder' => ['config', 'gpu', 'server/camera'],
    'server/api'    => ['config', 'gpu', 'storage', 'server/count', 'server/camera'],
);

sub room {
    my ($path) = @_;
    return $1 if $path =~ m{^(server/(?:count|camera|decoder|api))/};
    return $1 if $path =~ m{^(config|gpu|storage|server)/};
    return '';
}

my @arrows;
for my $file (grep { !m{^(tests|bench)/} } @code) {
    my $own = room($file);
    next unless exists $allowed{$own};
    my %may = map { $_ => 1 } $own, @{ $allowed{$own} };
    while ($text{$file} =~ /^#include "([^"]+)"/mg) {
        my $other = room($1);
        push @arrows, "$file includes $1" if $other ne '' && !$may{$other};
    }
}
result('imports run one way', @arrows);

my @banned;
my $banned = qr/\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|rand|system|popen|alloca)\s*\(/;
for my $file (@code) {
    (my $bare = $text{$file}) =~ s{/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"}{}gs;
    push @banned, "$file: $1" while $bare =~ /$banned/g;
    push @banned, "$file: <assert.h>" if $bare =~ /#include <assert\.h>/;
}
result('no banned function', @banned);

# A test file is a list of cases: it may be longer.
my @long = map { my $lines = () = $text{$_} =~ /\n/g; $lines > (m{^tests/} ? 800 : 600) ? "$_: $lines lines" : () } @code;
result('no file over 600 lines, no test over 800', @long);

my %seen;
for my $file (grep { !m{^(tests|bench)/} } @code) {
    (my $name = $file) =~ s{.*/}{};
    push @{ $seen{$name} }, $file;
}
result('file names are unique', map { join ' and ', @$_ } grep { @$_ > 1 } values %seen);

my @guards;
# The kernels are one text that is compiled once for each instruction set: meant to be included again.
for my $file (grep { /\.h$/ && !m{^gpu/cpu/kernels_(?:body|conv|vector)\.h$} } @code) {
    (my $guard = uc "SIGHTLINE_$file") =~ s/[^A-Z0-9]/_/g;
    push @guards, "$file has no guard $guard" unless $text{$file} =~ /#ifndef \Q$guard\E\n/;
}
result('headers are guarded by their path', @guards);

my @leaks;
for my $file (grep { !m{\.(png|ico|onnx|jpg)$|package-lock\.json$|^tests/house/} } @files) {
    open my $handle, '<', $file or next;
    while (<$handle>) {
        push @leaks, "$file:$.: $_" if m{/home/\w|\b(?:registry|deb)\.\w+\.(?:org|com)\b}i;
    }
}
chomp @leaks;
result('nothing names the machine it was written on', @leaks);

print "1..$number\n";
exit $failed;
