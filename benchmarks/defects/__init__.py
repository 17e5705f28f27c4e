"""What grouping and matching of failures are fitted and measured on: failures of defects that were put in."""
