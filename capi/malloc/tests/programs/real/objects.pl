# Hashes, strings that grow, sorting, regular expressions, references that end.
use strict;
use warnings;

my %rows;
for my $i (1 .. 100000) {
    my $key = "key" . ($i * 7919 % 50021);
    push @{ $rows{$key} }, "value $i" x ($i % 5);
    delete $rows{"key" . ($i % 977)} if $i % 11 == 0;
}
my ($count, $length) = (0, 0);
for my $key (sort keys %rows) {
    $count++;
    $length += length(join ",", @{ $rows{$key} });
}
print "$count $length\n";
my $text = "";
$text .= chr(97 + $_ % 26) x ($_ % 40) for 1 .. 50000;
print length($text), " ", scalar(() = $text =~ /(a+b+)/g), "\n";
(my $other = $text) =~ s/([aeiou])+/<$1>/g;
print length($other), " ", substr($other, 5000, 60), "\n";
my @sorted = sort { $a->[1] <=> $b->[1] || $a->[0] <=> $b->[0] }
    map { [$_, ($_ * 7919) % 1009] } 1 .. 50000;
print join(" ", map { $_->[0] } @sorted[0 .. 20]), "\n";
my $child = fork();
if ($child == 0) {
    my @more = map { "x" x $_ } 1 .. 2000;
    exit(@more == 2000 ? 0 : 1);
}
waitpid($child, 0);
print "child $?\n";
